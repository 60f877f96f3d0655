import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { commonConfig, createLog, type Logger, port, readConfig, type Service } from '@prequal/service';
import { z } from 'zod';
import { creditReportRequest, creditReportsPath } from '../src/bureau/protocol.ts';
import { type Answer, answerTo } from './answer.ts';
import { type Behaviour, behaviour, strikes } from './behaviour.ts';
import { BadRequestError, readBody } from './read-body.ts';

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
  const routes = createRoutes(log);

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { status, body, delayMs } = await answer(routes, request);
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

type Routes = Record<string, (request: IncomingMessage) => Promise<Answer>>;

/** By method and address. */
function createRoutes(log: Logger): Routes {
  let chosen = normal;
  let requests = 0;
  return {
    'GET /behaviour': async () => ({ status: 200, body: chosen }),
    'PUT /behaviour': async (request) => {
      chosen = await readBody(request, behaviour);
      requests = 0;
      log.info({ ...chosen }, 'behaviour set');
      return { status: 200, body: chosen };
    },
    [`POST ${creditReportsPath}`]: async (request) => {
      const asked = await readBody(request, creditReportRequest);
      const { applicationId } = asked;
      const now = strikes(chosen, (requests += 1), applicationId) ? chosen : normal;
      const given = answerTo(asked, now);
      log.info({ applicationId, behaviour: now.behaviour, status: given.status }, 'asked');
      return given;
    },
  };
}

async function answer(routes: Routes, request: IncomingMessage): Promise<Answer> {
  const route = routes[`${request.method} ${request.url}`];
  if (!route) return { status: 404, body: { code: 'NO_SUCH_ADDRESS', addresses: Object.keys(routes) } };
  try {
    return await route(request);
  } catch (error) {
    if (error instanceof BadRequestError) return { status: 400, body: { code: 'INVALID', problems: error.problems } };
    throw error;
  }
}
