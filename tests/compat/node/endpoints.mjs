// What the official JavaScript SDK makes of other endpoints than messages where a file strikes them. Started by
// test_node.py, which gives the calls on stdin ([{session, call}]) and reads what came of them.

import Anthropic from '@anthropic-ai/sdk';

const said = { model: 'claude-opus-4-8', messages: [{ role: 'user', content: 'Hi' }] };

const ways = {
  create: (client) => client.messages.create({ ...said, max_tokens: 9 }),
  count_tokens: (client) => client.messages.countTokens(said),
  'models.list': (client) => client.models.list(),
  'models.get': (client) => client.models.retrieve('claude-opus-4-8'),
  'batches.create': (client) => client.messages.batches.create({ requests: [{ custom_id: 'a', params: { ...said, max_tokens: 9 } }] }),
  'batches.list': (client) => client.messages.batches.list(),
  'files.list': (client) => client.beta.files.list(),
};

const input = [];
for await (const piece of process.stdin) input.push(piece);
for (const { session, call } of JSON.parse(Buffer.concat(input))) {
  const client = new Anthropic({ baseURL: process.env.SUITE_URL, apiKey: session, maxRetries: 0, timeout: 20_000, logLevel: 'off' });
  const told = await ways[call](client).then(
    () => 'ok',
    (error) => error.constructor.name,
  );
  process.stdout.write(JSON.stringify([session, call, told]) + '\n');
}
process.exit(0);
