// The official JavaScript SDK against a running server, as its users drive it. Started by test_node.py.

import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';

import Anthropic, * as sdk from '@anthropic-ai/sdk';
import { betaTool } from '@anthropic-ai/sdk/helpers/beta/json-schema';
import { jsonSchemaOutputFormat } from '@anthropic-ai/sdk/helpers/json-schema';

const { SUITE_URL: url, SUITE_PROFILE: profile } = process.env;
const MODEL = 'claude-opus-4-8';
const TEXT = 'One two three four.';
const search = { type: 'web_search_20250305', name: 'web_search' };
// Octen holds no threads: the first request is refused, then the whole history is sent each time.
const THREADED = profile === 'octen' ? [400, 200, 200, 200] : [200, 200, 200];

/** A client with a key of its test's own, and so counters of its own; `statuses` holds what it was answered with. */
let client;
let statuses;
beforeEach((context) => {
  statuses = [];
  const noting = async (...request) => {
    const response = await fetch(...request);
    statuses.push(response.status);
    return response;
  };
  const apiKey = `sk-${profile} ${context.fullName ?? context.name}`;
  client = new Anthropic({ baseURL: url, apiKey, maxRetries: 0, fetch: noting });
});

/** The parameters of a call that this scenario answers. */
function ask(scenario, more = {}) {
  const content = `[[scenario:${scenario}]] Go on, please.`;
  return { model: MODEL, max_tokens: 1024, messages: [{ role: 'user', content }], ...more };
}

/** The call that goes on after a reply: its content sent back as the SDK gave it, then what the user adds, if anything. */
function answered(call, content, ...user) {
  const more = user.length ? [{ role: 'user', content: user }] : [];
  return { ...call, messages: [...call.messages, { role: 'assistant', content }, ...more] };
}

const result = (block, content) => ({ type: 'tool_result', tool_use_id: block.id, content });
const ofType = (message, type) => message.content.filter((block) => block.type === type);

/** A message as plain data, with its ids numbered: two replies of one script differ in their ids alone. */
function said(message) {
  const numbers = new Map();
  return JSON.parse(JSON.stringify(message), (key, value) => {
    if (key === 'parsed_output') return undefined;
    if (!['id', 'tool_use_id'].includes(key)) return value;
    if (!numbers.has(value)) numbers.set(value, `${value.split('_')[0]} ${numbers.size}`);
    return numbers.get(value);
  });
}

const waysToAsk = {
  create: (call) => client.messages.create(call),
  'the finished stream': (call) => client.messages.stream(call).finalMessage(),
};

describe('one reply', () => {
  const replies = {
    text: [['text'], 'end_turn'],
    texts: [['text', 'text'], 'end_turn'],
    long: [['text'], 'end_turn'],
    thinking: [['thinking', 'text'], 'end_turn'],
    redacted: [['redacted_thinking', 'text'], 'end_turn'],
    tool: [['text', 'tool_use'], 'tool_use'],
    parallel: [['tool_use', 'tool_use', 'tool_use'], 'tool_use'],
    'thinking-tool': [['thinking', 'tool_use'], 'tool_use'],
    'web-search': [['text', 'server_tool_use', 'web_search_tool_result', 'text'], 'end_turn'],
    'failed-search': [['server_tool_use', 'web_search_tool_result', 'text'], 'end_turn'],
    citations: [['text', 'text'], 'end_turn'],
    pause: [['text', 'server_tool_use'], 'pause_turn'],
    refusal: [[], 'refusal'],
    'late-refusal': [['text'], 'refusal'],
    full: [['text'], 'model_context_window_exceeded'],
    nothing: [[], 'end_turn'],
    counted: [['text'], 'end_turn'],
  };
  for (const [scenario, [types, stopReason]] of Object.entries(replies)) {
    for (const [place, messages] of Object.entries({ GA: () => client.messages, beta: () => client.beta.messages })) {
      test(`create and the finished stream agree on ${scenario} (${place})`, async () => {
        const message = await messages().create(ask(scenario));
        const streamed = await messages().stream(ask(scenario)).finalMessage();
        assert.deepEqual(message.content.map((block) => block.type), types);
        assert.equal(message.stop_reason, stopReason);
        assert.deepEqual(said(streamed), said(message));
      });
    }
  }

  test('wherever max_tokens cuts, both forms agree', async () => {
    // The SDK reads the cut JSON of a call with a parser of its own, which leaves out a number at the very end.
    const withoutInput = (message) => {
      const content = message.content.map(({ input, ...block }) => ({ ...block, input: typeof input }));
      return said({ ...message, content });
    };
    const whole = await client.messages.create(ask('tool'));
    for (let limit = 1; limit < whole.usage.output_tokens; limit++) {
      const call = ask('tool', { max_tokens: limit });
      const message = await client.messages.create(call);
      assert.equal(message.stop_reason, 'max_tokens');
      assert.equal(message.usage.output_tokens, limit);
      assert.deepEqual(withoutInput(await client.messages.stream(call).finalMessage()), withoutInput(message));
    }
  });

  test('a stop sequence cuts the text', async () => {
    for (const get of Object.values(waysToAsk)) {
      const message = await get(ask('text', { stop_sequences: ['three'] }));
      assert.deepEqual([message.stop_reason, message.stop_sequence], ['stop_sequence', 'three']);
      assert.equal(message.content[0].text, 'One two ');
    }
  });

  test('a refusal says why', async () => {
    for (const get of Object.values(waysToAsk)) {
      const { type, category, explanation } = (await get(ask('refusal'))).stop_details;
      assert.deepEqual([type, category, explanation], ['refusal', 'cyber', 'This asks for malware.']);
    }
  });
});

describe('streams', () => {
  const events = (deltas) => [
    'message_start',
    'content_block_start',
    ...Array(deltas).fill('content_block_delta'),
    'content_block_stop',
    'message_delta',
    'message_stop',
  ];

  test('a raw stream yields every event in order', async () => {
    const seen = [];
    for await (const event of await client.messages.create(ask('text', { stream: true }))) seen.push(event.type);
    assert.deepEqual(seen, events(4));
  });

  test('the helper tells the text piece by piece', async () => {
    const stream = client.messages.stream(ask('text'));
    const pieces = [];
    const seen = [];
    stream.on('text', (piece) => pieces.push(piece)).on('streamEvent', (event) => seen.push(event.type));
    assert.equal(await stream.finalText(), TEXT);
    assert.deepEqual(pieces, ['One', ' two', ' three', ' four.']);
    assert.deepEqual(seen, events(4));
    assert.match(stream.request_id, /^req_/);
  });

  test('the pieces of a tool input are its JSON', async () => {
    const stream = client.messages.stream(ask('tool'));
    const pieces = [];
    stream.on('inputJson', (piece) => pieces.push(piece));
    const [call] = ofType(await stream.finalMessage(), 'tool_use');
    assert.equal(pieces[0], '');
    assert.deepEqual(JSON.parse(pieces.join('')), call.input);
  });

  test('thirty-two streams at once are all complete and equal', async () => {
    const streams = Array.from({ length: 32 }, () => client.messages.stream(ask('long')));
    const texts = await Promise.all(streams.map((stream) => stream.finalText()));
    assert.match(texts[0], /dwarf\.$/);
    assert.deepEqual(texts, Array(32).fill(texts[0]));
  });
});

describe('content that comes back', () => {
  for (const [way, get] of Object.entries(waysToAsk)) {
    test(`thinking may be sent back (${way})`, async () => {
      const first = await get(ask('thinking'));
      const again = answered(ask('thinking'), first.content, { type: 'text', text: 'And now?' });
      assert.equal((await get(again)).content[0].text, 'You sent my thoughts back.');
    });

    test(`a call takes its result (${way})`, async () => {
      const first = await get(ask('tool'));
      const again = answered(ask('tool'), first.content, result(first.content[1], 'sunny'));
      assert.equal((await get(again)).content[0].text, 'It is sunny in Paris.');
    });

    test(`a search of the server's own may be sent back (${way})`, async () => {
      const first = await get(ask('web-search'));
      const again = answered(ask('web-search'), first.content, { type: 'text', text: 'Really?' });
      assert.equal((await get(again)).content[0].text, 'As I said, sunny.');
    });

    test(`a paused turn goes on from its content (${way})`, async () => {
      const call = ask('pause', { tools: [search] });
      const first = await get(call);
      assert.equal(first.stop_reason, 'pause_turn');
      const second = await get(answered(call, first.content));
      assert.equal(second.stop_reason, 'end_turn');
      assert.equal(second.content[0].tool_use_id, first.content[1].id);
    });
  }
});

describe('agents', () => {
  const city = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
  const tool = (name, run) => betaTool({ name, description: `The ${name} of a city.`, inputSchema: city, run });
  const getWeather = tool('get_weather', ({ city }) => `21 degrees in ${city}`);
  const getTime = tool('get_time', ({ city }) => `noon in ${city}`);

  test('the tool runner uses a thread, or is refused one and falls back, and finishes', async () => {
    const runner = client.beta.messages.toolRunner(ask('agent', { tools: [getWeather, getTime] }));
    const reasons = [];
    for await (const message of runner) reasons.push(message.stop_reason);
    assert.deepEqual(reasons, ['tool_use', 'tool_use', 'end_turn']);
    assert.equal((await runner.done()).content[0].text, 'It is noon in Paris, at 21 degrees.');
    assert.deepEqual(statuses, THREADED);
  });

  test('the streaming tool runner finishes too', async () => {
    const runner = client.beta.messages.toolRunner(ask('agent', { tools: [getWeather, getTime], stream: true }));
    const reasons = [];
    for await (const stream of runner) reasons.push((await stream.finalMessage()).stop_reason);
    assert.deepEqual(reasons, ['tool_use', 'tool_use', 'end_turn']);
    assert.equal((await runner.done()).content[0].text, 'It is noon in Paris, at 21 degrees.');
    assert.deepEqual(statuses, THREADED);
  });

  test('the tool runner reports a tool that fails', async () => {
    const broken = tool('get_weather', () => {
      throw new Error('the station is down');
    });
    const runner = client.beta.messages.toolRunner(ask('agent', { tools: [broken, getTime] }));
    assert.equal((await runner.runUntilDone()).content[0].text, 'I could not reach the weather service.');
  });

  test('the tool runner goes on after a pause', async () => {
    const runner = client.beta.messages.toolRunner(ask('pause-then-tool', { tools: [getWeather, search] }));
    assert.equal((await runner.runUntilDone()).content.at(-1).text, 'The city is Paris, at 21 degrees.');
  });
});

describe('structured output', () => {
  const format = jsonSchemaOutputFormat({
    type: 'object',
    properties: {
      city: { type: 'string' },
      degrees: { type: 'number' },
      sky: { type: 'string', enum: ['sunny', 'cloudy', 'rainy'] },
      hours: {
        type: 'array',
        items: {
          type: 'object',
          properties: { hour: { type: 'integer' }, rain: { type: 'boolean' } },
          required: ['hour', 'rain'],
          additionalProperties: false,
        },
      },
      note: { anyOf: [{ type: 'string' }, { type: 'null' }] },
    },
    required: ['city', 'degrees', 'sky', 'hours', 'note'],
    additionalProperties: false,
  });
  const scripted = {
    city: 'Paris',
    degrees: 21.5,
    sky: 'sunny',
    hours: [
      { hour: 9, rain: false },
      { hour: 15, rain: true },
    ],
    note: null,
  };

  test('parse reads the reply', async () => {
    const message = await client.messages.parse(ask('forecast', { output_config: { format } }));
    assert.deepEqual(message.parsed_output, scripted);
  });

  test('the stream reads the reply', async () => {
    const message = await client.messages.stream(ask('forecast', { output_config: { format } })).finalMessage();
    assert.deepEqual(message.parsed_output, scripted);
  });
});

describe('errors', () => {
  const errors = {
    400: ['invalid_request_error', sdk.BadRequestError],
    401: ['authentication_error', sdk.AuthenticationError],
    402: ['billing_error', sdk.PaymentRequiredError],
    403: ['permission_error', sdk.PermissionDeniedError],
    404: ['not_found_error', sdk.NotFoundError],
    405: ['invalid_request_error', sdk.APIError],
    413: ['request_too_large', sdk.ContentTooLargeError],
    429: ['rate_limit_error', sdk.RateLimitError],
    500: ['api_error', sdk.InternalServerError],
    503: ['api_error', sdk.ServiceUnavailableError],
    504: ['timeout_error', sdk.GatewayTimeoutError],
    529: ['overloaded_error', sdk.OverloadedError],
  };
  for (const [status, [type, kind]] of Object.entries(errors)) {
    for (const [way, get] of Object.entries(waysToAsk)) {
      test(`${status} is of its class and knows its request (${way})`, async () => {
        const error = await get(ask(`error-${status}`)).then(assert.fail, (error) => error);
        assert.equal(error.constructor, kind);
        assert.deepEqual([error.status, error.type, error.error.error.type], [Number(status), type, type]);
        assert.match(error.requestID, /^req_/);
        assert.equal(error.headers.get('request-id'), error.requestID);
        assert.equal(error.error.request_id, profile === 'anthropic' ? error.requestID : undefined);
      });
    }
  }

  test('an error carries its code', async () => {
    const error = await client.messages.create(ask('detailed-error')).then(assert.fail, (error) => error);
    assert.equal(error.errorCode, 'file_expired');
  });
});

describe('the client', () => {
  test('two retries outlast two failures', async () => {
    const message = await client.messages.create(ask('busy-twice'), { maxRetries: 2 });
    assert.equal(message.content[0].text, 'Third time lucky.');
    assert.deepEqual(statuses, [529, 429, 200]);
  });

  test('a stream is retried before it begins', async () => {
    const stream = client.messages.stream(ask('busy-twice'), { maxRetries: 2 });
    assert.equal(await stream.finalText(), 'Third time lucky.');
    assert.deepEqual(statuses, [529, 429, 200]);
  });

  test('without retries the failure is raised', async () => {
    await assert.rejects(client.messages.create(ask('busy-twice')), sdk.OverloadedError);
  });

  test('the server can forbid a retry and ask for one', async () => {
    await assert.rejects(client.messages.create(ask('busy-for-good'), { maxRetries: 2 }), sdk.OverloadedError);
    const message = await client.messages.create(ask('bad-for-once'), { maxRetries: 1 });
    assert.equal(message.content[0].text, 'Now it is fine.');
    assert.deepEqual(statuses, [529, 400, 200]);
  });

  test('the request id is with the response', async () => {
    const { data, response, request_id } = await client.messages.create(ask('text')).withResponse();
    assert.equal(data._request_id, request_id);
    assert.equal(response.headers.get('request-id'), request_id);
    assert.match(request_id, /^req_/);
  });
});
