import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { commonConfig, createLog, port, readConfig, type Service } from '@prequal/service';
import { z } from 'zod';
import { creditReportRequest, creditReportsPath, maxBodyBytes } from '../src/bureau/protocol.ts';
import { type Answer, answerTo } from './answer.ts';
import { type Behaviour, behaviour, strikes } from './behaviour.ts';

const simulatorConfig = {
  LOG_LEVEL: commonConfig.LOG_LEVEL,
  BUREAU_HOST: z.string().default('127.0.0.1'),
  BUREAU_PORT: port(4010),
};

const normal: Behaviour = { behaviour: 'normal' };

/**
 * Starts a bureau that speaks the protocol of `src/bureau/protocol.ts` and misbehaves on request:
 * `PUT /behaviour` with a `behaviour` sets how, `GET /behaviour` tells. For development and tests.
 */
export async function startBureauSimulator(env: NodeJS.ProcessEnv): Promise<Service> {
  const config = readConfig(simulatorConfig, env);
  const log = createLog('bureau-simulator', config.LOG_LEVEL);
  const stopping = new AbortController();
  let chosen = normal;
  let requests = 0;

  const routes: Record<string, (request: IncomingMessage) => Promise<Answer>> = {
    'GET /behaviour': async () => ({ status: 200, body: chosen }),
    'PUT /behaviour': async (request) => {
      chosen = await readBody(request, behaviour);
      requests = 0;
      log.info({ ...chosen }, 'behaviour set');
      return { status: 200, body: chosen };
    },
    [`POST ${creditReportsPath}`]: async (request) => {
      const asked = await readBody(request, creditReportRequest);
      const isStruck = strikes(chosen, (requests += 1), asked.applicationId);
      const given = answerTo(asked, isStruck ? chosen : normal);
      const { applicationId } = asked;
      log.info({ applicationId, behaviour: isStruck ? chosen.behaviour : 'normal', status: given.status }, 'asked');
      return given;
    },
  };

  async function answer(request: IncomingMessage): Promise<Answer> {
    const route = routes[`${request.method} ${request.url}`];
    if (!route) return { status: 404, body: { code: 'NO_SUCH_ADDRESS', addresses: Object.keys(routes) } };
    try {
      return await route(request);
    } catch (error) {
      if (error instanceof BadRequestError) return { status: 400, body: { code: 'INVALID', problems: error.problems } };
      throw error;
    }
  }

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { status, body, delayMs } = await answer(request);
    if (delayMs !== undefined) await delay(delayMs, undefined, { signal: stopping.signal });
    const [type, text] = typeof body === 'string' ? ['text/html', body] : ['application/json', JSON.stringify(body)];
    response.writeHead(status, { 'content-type': type }).end(text);
  }

  const server = createServer((request, response) => {
    respond(request, response).catch(() => response.destroy());
  });
  server.listen(config.BUREAU_PORT, config.BUREAU_HOST);
  await once(server, 'listening');
  const { port: chosenPort } = server.address() as AddressInfo;
  return {
    url: `http://${config.BUREAU_HOST}:${chosenPort}`,
    log,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, 'close');
      server.close();
      // Those whose answer is being delayed are cut off; all others have theirs.
      stopping.abort();
      server.closeIdleConnections();
      await closed;
    },
  };
}

class BadRequestError extends Error {
  override readonly name = 'BadRequestError';
  readonly problems: string[];
  constructor(problems: string[]) {
    super('the request is not valid');
    this.problems = problems;
  }
}

/** The problems name fields and rules and never a value, which may be a PAN. */
async function readBody<Schema extends z.ZodType>(request: IncomingMessage, schema: Schema): Promise<z.output<Schema>> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) throw new BadRequestError([`body: larger than ${maxBodyBytes} bytes`]);
    chunks.push(chunk);
  }
  let json: unknown;
  try {
    json = JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    throw new BadRequestError(['body: not JSON']);
  }
  const { success, data, error } = schema.safeParse(json);
  if (success) return data;
  throw new BadRequestError(error.issues.map(({ path, message }) => `${path.join('.') || 'body'}: ${message}`));
}
