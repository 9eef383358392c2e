// What becomes of thinking that comes back, through the official JavaScript SDK. Started by test_node.py, which gives on
// stdin a list of {url, stream, call, rows}: the first call, and what is done to the content of its reply. Each line
// that is printed is a list of what the client was told, in the order of the rows.

import Anthropic from '@anthropic-ai/sdk';

const LEFT_OUT = 'left out';

/** The content as it is sent back. */
function changed(content, { blocks, fields, cut, letter }) {
  const first = { ...content[0], ...fields };
  const seal = first.type === 'redacted_thinking' ? 'data' : 'signature';
  if (cut) first[seal] = first[seal].slice(0, -cut);
  if (letter !== null) {
    const letters = [...first[seal]];
    const at = letter < 0 ? letters.length + letter : letter;
    letters[at] = letters[at] === 'A' ? 'B' : 'A';
    first[seal] = letters.join('');
  }
  const sent = Object.fromEntries(Object.entries(first).filter(([, value]) => value !== LEFT_OUT));
  return blocks.map((at) => [sent, ...content.slice(1)][at]);
}

function answered(call, content) {
  const calls = content.filter((block) => block.type === 'tool_use');
  const results = calls.map((block) => ({ type: 'tool_result', tool_use_id: block.id, content: 'ok' }));
  const said = [{ role: 'assistant', content }, { role: 'user', content: results }];
  return { ...call, messages: [...call.messages, ...said] };
}

async function outcome(get, call, beta) {
  try {
    await get(call, beta === null ? {} : { headers: { 'anthropic-beta': beta } });
    return '200';
  } catch (error) {
    return `${error.status} ${error.error.error.message}`;
  }
}

async function played({ url, stream, calls, rows }) {
  const client = new Anthropic({ baseURL: url, apiKey: calls[0].call.model, maxRetries: 0, logLevel: 'off' });
  const get = (call, options) =>
    stream ? client.messages.stream(call, options).finalMessage() : client.messages.create(call, options);
  const replies = {};
  for (const { scenario, call } of calls) replies[scenario] = { call, content: (await get(call)).content };
  const told = [];
  for (const row of rows) {
    const { call, content } = replies[row.scenario];
    told.push(await outcome(get, answered(call, changed(content, row)), row.beta));
  }
  return told;
}

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
console.warn = () => {}; // the SDK warns of models that end soon
for (const one of JSON.parse(Buffer.concat(chunks).toString())) console.log(JSON.stringify(await played(one)));
