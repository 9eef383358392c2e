// What the official JavaScript SDK makes of each fault of the table. Started by test_node.py, which gives the scenarios
// on stdin ([{scenario, how, hangs}]) and reads what came of them: the error, the text, and how the finished message ended.

import Anthropic from '@anthropic-ai/sdk';

// ms of silence that count as waiting, where nothing more comes (the SDK's own timeout ends with the headers): behind
// some text, and where none has come, which on a busy machine may be only late
const PATIENCE = { behind: 1000, before: 3000 };

const SETTLING = 30; // ms

const said = (block) => block.text ?? JSON.stringify(block.input);

/** The class of what was thrown (`ok`: nothing; `waits`: still nothing), the text that had come, and the end. */
async function told(call, hangs) {
  const heard = [];
  let final = null;
  const calling = call(heard).then(
    (message) => {
      final = message ? `${message.stop_reason ?? 'no reason'}, ${message.usage.input_tokens} in, ${message.usage.output_tokens} out` : null;
      return 'ok';
    },
    (error) => error.constructor.name,
  );
  return [await (hangs ? Promise.race([calling, silence(heard)]) : calling), heard.join(''), final];
}

async function silence(heard) {
  for (let since = Date.now(), had = 0; ; ) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    if (heard.length > had) [since, had] = [Date.now(), heard.length];
    if (Date.now() - since > (had ? PATIENCE.behind : PATIENCE.before)) return 'waits';
  }
}

async function listen(stream, heard) {
  for await (const event of stream) {
    if (event.type === 'content_block_delta') heard.push(event.delta.text ?? event.delta.partial_json ?? '');
  }
}

const ways = {
  create: async (client, call, heard) => {
    const message = await client.messages.create(call);
    heard.push(...message.content.map(said));
  },
  raw: async (client, call, heard) => listen(await client.messages.create({ ...call, stream: true }), heard),
  helper: async (client, call, heard) => {
    const stream = client.messages.stream(call);
    stream.finalMessage().catch(() => {}); // its error is the loop's too
    await listen(stream, heard);
    return stream.finalMessage();
  },
};

async function ask(scenario, how, hangs) {
  const client = new Anthropic({
    baseURL: process.env.SUITE_URL,
    apiKey: `${scenario} ${how}`,
    maxRetries: 0,
    timeout: 20_000,
    defaultHeaders: { 'x-mock-scenario': scenario },
    logLevel: 'off',
  });
  const call = {
    model: 'claude-opus-4-8',
    max_tokens: 200,
    messages: [{ role: 'user', content: 'Hi' }],
    tools: [{ name: 'get_weather', input_schema: { type: 'object' } }],
  };
  return told((heard) => ways[how](client, call, heard), hangs);
}

const input = [];
for await (const piece of process.stdin) input.push(piece);
for (const { scenario, how, hangs } of JSON.parse(Buffer.concat(input))) {
  process.stdout.write(JSON.stringify([scenario, how, ...(await ask(scenario, how, hangs))]) + '\n');
  // the SDK keeps connections for the next request: what a fault does to this one has to arrive first
  await new Promise((resolve) => setTimeout(resolve, SETTLING));
}
process.exit(0);
