-- wrk: bodies that share next to nothing: other words in every prompt, after the two that the scenario is found by
local f = assert(io.open(os.getenv("BODY"), "rb")); local body = f:read("*a"); f:close()
local at = body:find("bench json", 1, true)
local from, to = at + 10, body:find('"', at, true) - 1
local a, b, length = body:sub(1, from - 1), body:sub(to + 1), to - from + 1
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"; wrk.headers["x-api-key"] = "test-key"; wrk.headers["anthropic-version"] = "2023-06-01"
local MANY, n, made = 4000, 0, {}
local function words()                                     -- of the same length in all
  local out, size = {}, 0
  while size < length do
    local word = {" "}
    for _ = 1, math.random(2, 9) do word[#word + 1] = string.char(96 + math.random(26)) end
    out[#out + 1] = table.concat(word); size = size + #out[#out]
  end
  return table.concat(out):sub(1, length)
end
function init(args)
  math.randomseed(7)
  for i = 1, MANY do made[i] = wrk.format(nil, nil, nil, a .. words() .. b) end
end
function request()                                         -- none of them twice within what a server could remember
  n = n + 1
  if n > MANY then local i = (n - 1) % MANY + 1; made[i] = wrk.format(nil, nil, nil, a .. words() .. b); return made[i] end
  return made[n]
end
function done(s, l, r)
  local e = s.errors
  io.write(string.format('{"requests":%d,"us":%d,"p50_ms":%.3f,"p90_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f,"bytes":%d,"errors":%d,"bad_status":%d}\n',
    s.requests, s.duration, l:percentile(50) / 1000, l:percentile(90) / 1000, l:percentile(99) / 1000, l.max / 1000, s.bytes, e.connect + e.read + e.write + e.timeout, e.status))
end
