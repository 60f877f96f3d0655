import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { answerHealth, type Health, type Logger, listen, pathOf, type ServerTls, traceOf } from '@prequal/service';
import { useServer } from 'graphql-ws/use/ws';
import type { YogaServerInstance } from 'graphql-yoga';
import { WebSocketServer } from 'ws';
import type { RequestContext, RequestFacts } from './context.ts';
import { cutInBatches } from './cut-in-batches.ts';
import { headerOf, notYetServing, refusalOf } from './http-request.ts';
import { atInstant, type Identify } from './viewer.ts';
import { graphqlOverWebSocket } from './websocket.ts';

type Yoga = YogaServerInstance<RequestFacts, RequestContext>;

export type ServerOptions = {
  health: Health;
  address: { host: string; port: number };
  /** without it the door is plain HTTP, for what stands behind a proxy or on one machine */
  tls: ServerTls | undefined;
  /** larger bodies are refused with 413 before they are read */
  maxBodyBytes: number;
  /** pages of other origins that may open a WebSocket */
  allowedOrigins: readonly string[];
  isSynthetic: (request: IncomingMessage) => boolean;
  identify: Identify;
  log: Logger;
};

/** The gateway's open door. */
export type GatewayServer = AsyncDisposable & {
  url: string;
  /** From now on GraphQL is answered; before, it is refused with UNAVAILABLE. */
  serve: (yoga: Yoga) => void;
};

export const graphqlPath = '/graphql';

/** frames of a WebSocket client: a subscription's document and variables fit many times */
const maxFrameBytes = 16 * 1024;
/** the close code after which clients connect again */
const goingAway = 1001;
/** a request that was accepted before the stop is given this long to be answered */
const drainLimitMs = 5_000;
/** a client that has not shown who it is by then is cut */
const handshakeLimitMs = 10_000;

/**
 * The gateway's door: GraphQL over HTTP, SSE and WebSocket on `/graphql`, health and metrics beside it.
 * Disposing stops accepting, answers what is in hand, and cuts streams in the way their clients resume; it
 * may be done twice.
 */
export async function serveGateway(options: ServerOptions): Promise<GatewayServer> {
  const { health, log } = options;
  const open = new Set<ServerResponse>();
  let serving: { yoga: Yoga; sockets: { dispose: () => unknown } } | undefined;
  let stopping: Promise<void> | undefined;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (await answerHealth(health, request, response)) return;
    const trace = traceOf({
      correlationId: headerOf(request, 'x-correlation-id'),
      traceparent: headerOf(request, 'traceparent'),
    });
    response.setHeader('x-correlation-id', trace.correlationId);
    if (pathOf(request) === '/') {
      response.writeHead(302, { location: graphqlPath }).end();
      return;
    }
    const body = await readBody(request, options.maxBodyBytes);
    const refusal = refusalOf(request, body, options.maxBodyBytes);
    if (refusal || !serving) {
      const { status, code, message } = refusal ?? notYetServing;
      // What is left of a body that was too large is not read.
      const connection = status === 413 ? { connection: 'close' } : {};
      response.writeHead(status, { 'content-type': 'application/json', ...connection });
      response.end(JSON.stringify({ errors: [{ message, extensions: { code } }] }));
      return;
    }
    // Proxies that buffer would hold back a status until the stream ends.
    if (headerOf(request, 'accept')?.includes('text/event-stream')) response.setHeader('x-accel-buffering', 'no');
    const gone = new AbortController();
    // With a reason of ours: the default one is an exception, and taking its stack costs more than all the rest.
    response.once('close', () => gone.abort('closed'));
    const synthetic = options.isSynthetic(request);
    const { viewer, expiresAtMs } = await options.identify(headerOf(request, 'authorization'), {
      isTrusted: synthetic,
    });
    if (expiresAtMs !== undefined) {
      // Only what streams can outlive its token. A cut stream is resumed, one that ends is taken for complete.
      const streams = /event-stream|multipart/.test(headerOf(request, 'accept') ?? '');
      atInstant(expiresAtMs, gone.signal, () => (streams || response.headersSent) && response.destroy());
    }
    const facts = { trace, viewer, synthetic, gone: gone.signal };
    await serving.yoga.handle(Object.assign(request, { body }), response, facts);
  }

  const server = createDoor(options.tls, (request, response) => {
    open.add(response);
    response.once('close', () => open.delete(response));
    answer(request, response).catch((error: unknown) => {
      // A client that left in the middle of its request is its own affair.
      if (request.complete) log.error({ err: error }, 'a request could not be answered');
      response.destroy();
    });
  });
  const sockets = new WebSocketServer({ noServer: true, maxPayload: maxFrameBytes });
  server.on('upgrade', (request, socket, head) => {
    if (stopping || !serving || pathOf(request) !== graphqlPath || !isAllowedOrigin(request, options.allowedOrigins)) {
      socket.destroy();
    } else {
      sockets.handleUpgrade(request, socket, head, (opened) => {
        sockets.emit('connection', opened, request);
        // The library would print a client's protocol error on the console. ws has closed the socket by then.
        opened.removeAllListeners('error');
        opened.on('error', (error) => log.debug({ err: error }, 'a WebSocket client broke the protocol'));
      });
    }
  });
  const url = await listen(server, options.address);

  async function stop(): Promise<void> {
    const closed = new Promise((resolve) => server.close(resolve));
    // A connection that has been answered is kept for the next request; there is none to come.
    const idle = setInterval(() => server.closeIdleConnections(), 50);
    const limit = setTimeout(() => {
      server.closeAllConnections();
      // Those that did not answer the close frame.
      for (const socket of sockets.clients) socket.terminate();
    }, drainLimitMs);
    await cutInBatches([
      ...[...sockets.clients].map((socket) => () => socket.close(goingAway, 'The gateway stops, connect again')),
      // An SSE response that ended would tell its client that the stream is complete; a cut one is resumed.
      ...[...open].filter(isEventStream).map((response) => () => response.destroy()),
    ]);
    await serving?.sockets.dispose();
    await closed;
    clearInterval(idle);
    clearTimeout(limit);
  }

  return {
    url,
    serve: (yoga) => {
      serving = { yoga, sockets: useServer(graphqlOverWebSocket(yoga, options.identify), sockets) };
    },
    [Symbol.asyncDispose]: () => (stopping ??= stop()),
  };
}

function createDoor(tls: ServerTls | undefined, answer: RequestListener) {
  if (!tls) return createServer(answer);
  const { cert, key, clientCa } = tls;
  const mutual = clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true };
  return createTlsServer({ cert, key, ...mutual, minVersion: 'TLSv1.2', handshakeTimeout: handshakeLimitMs }, answer);
}

/** Before the upgrade: a page of another origin must not open a socket in its visitor's name. */
function isAllowedOrigin(request: IncomingMessage, allowed: readonly string[]): boolean {
  const origin = headerOf(request, 'origin');
  if (origin === undefined || allowed.includes(origin)) return true;
  return URL.canParse(origin) && new URL(origin).host === headerOf(request, 'host');
}

function isEventStream(response: ServerResponse): boolean {
  return String(response.getHeader('content-type')).startsWith('text/event-stream');
}

/** Undefined when the body is larger than `maxBytes`. */
async function readBody(request: IncomingMessage, maxBytes: number): Promise<string | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) return undefined;
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
