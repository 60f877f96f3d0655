import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { answerHealth, type Health, type Logger, pathOf, type ServerTls, Slots, traceOf } from '@prequal/service';
import { handleProtocols } from 'graphql-ws';
import { WebSocketServer } from 'ws';
import { acceptSockets } from './accept-sockets.ts';
import type { Allowances } from './allowances.ts';
import { answerDirectly, directTypeOf } from './answer-directly.ts';
import { clientAddress } from './client-address.ts';
import { ClientSocket } from './client-socket.ts';
import type { Graphql } from './create-graphql.ts';
import { cutInBatches } from './cut-in-batches.ts';
import { openEntrances } from './entrances.ts';
import {
  admit,
  carriedBy,
  headerOf,
  noPlaceForStream,
  notYetServing,
  readBody,
  sendRefusal,
  tooManyRequests,
} from './http-request.ts';
import { keepAlive } from './keep-alive.ts';
import { setSecurityHeaders } from './security-headers.ts';
import { cutSlowClients, type SlowClientLimits } from './slow-clients.ts';
import type { StreamPlaces } from './stream-limits.ts';
import { atInstant, type Identify } from './viewer.ts';
import { graphqlOverWebSocket, type SocketLimits } from './websocket.ts';

export type ServerOptions = {
  health: Health;
  address: { host: string; port: number };
  /** without it the door is plain HTTP, for what stands behind a proxy or on one machine */
  tls: ServerTls | undefined;
  /** larger bodies are refused with 413 before they are read */
  maxBodyBytes: number;
  /** pages of other origins that may open a WebSocket */
  allowedOrigins: readonly string[];
  trustedProxies: number;
  hasGraphiql: boolean;
  /** by address, for requests over HTTP and operations over WebSocket together */
  requests: Allowances;
  places: StreamPlaces;
  slowClients: SlowClientLimits;
  sockets: SocketLimits & { maxFrameBytes: number; maxMessagesPerSecond: number; pingPeriodMs: number };
  isSynthetic: (request: IncomingMessage) => boolean;
  identify: Identify;
  log: Logger;
};

/** The gateway's open door. */
export type GatewayServer = AsyncDisposable & {
  url: string;
  /** From now on GraphQL is answered; before, it is refused with UNAVAILABLE. */
  serve: (graphql: Graphql) => void;
};

export const graphqlPath = '/graphql';

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
  const open = new Slots<ServerResponse>();
  let serving: { graphql: Graphql; open: (socket: ClientSocket) => void } | undefined;
  let stopping: Promise<void> | undefined;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answered = answerHealth(health, request, response);
    if (answered) return answered;
    const trace = traceOf({
      correlationId: headerOf(request, 'x-correlation-id'),
      traceparent: headerOf(request, 'traceparent'),
    });
    response.setHeader('x-correlation-id', trace.correlationId);
    setSecurityHeaders(request, response, {
      hasPage: options.hasGraphiql,
      behindProxy: options.trustedProxies > 0,
    });
    if (pathOf(request) === '/') {
      response.writeHead(302, { location: graphqlPath }).end();
      return;
    }
    const address = clientAddress(request, options.trustedProxies);
    if (!options.requests.take(address)) return sendRefusal(response, tooManyRequests(options.requests.msLeft()));
    const body = await readBody(request, options.maxBodyBytes);
    const admitted = admit(request, body, options.maxBodyBytes);
    if ('status' in admitted) return sendRefusal(response, admitted);
    if (!serving) return sendRefusal(response, notYetServing);
    const carries = carriedBy(request);
    if (carries.streams) {
      const place = options.places.enter(address, 'sse');
      if (typeof place !== 'function') return sendRefusal(response, noPlaceForStream(place));
      response.once('close', place);
      if (response.closed) place();
      // Proxies that buffer would hold back a status until the stream ends.
      response.setHeader('x-accel-buffering', 'no');
    }
    const gone = closedSignal(response);
    const synthetic = options.isSynthetic(request);
    const { viewer, expiresAtMs } = await options.identify(headerOf(request, 'authorization'), {
      isTrusted: synthetic,
    });
    if (expiresAtMs !== undefined) {
      // Only what streams can outlive its token. A cut stream is resumed, one that ends is taken for complete.
      const streams = /event-stream|multipart/.test(headerOf(request, 'accept') ?? '');
      atInstant(expiresAtMs, gone(), () => (streams || response.headersSent) && response.destroy());
    }
    const facts = { trace, viewer, synthetic, address, carries, gone };
    const type = pathOf(request) === graphqlPath ? directTypeOf(request) : undefined;
    const { sent } = admitted;
    if (type && sent) return answerDirectly(serving.graphql, request, { sent, type }, response, facts);
    await serving.graphql.yoga.handle(Object.assign(request, { body }), response, facts);
  }

  const server = createDoor(options.tls, (request, response) => {
    const place = open.add(response);
    response.once('close', () => open.letGo(place));
    answer(request, response).catch((error: unknown) => {
      // A client that left in the middle of its request is its own affair.
      if (request.complete) log.error({ err: error }, 'a request could not be answered');
      response.destroy();
    });
  });
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: options.sockets.maxFrameBytes,
    WebSocket: ClientSocket,
    handleProtocols,
  });
  acceptSockets(server, sockets, {
    path: graphqlPath,
    isOpen: () => !stopping && serving !== undefined,
    open: (socket) => serving?.open(socket),
    allowedOrigins: options.allowedOrigins,
    places: options.places,
    maxMessagesPerSecond: options.sockets.maxMessagesPerSecond,
    trustedProxies: options.trustedProxies,
    log,
  });
  const beat = keepAlive(() => sockets.clients, options.sockets.pingPeriodMs);
  const slowness = cutSlowClients(options.slowClients, function* () {
    for (const socket of sockets.clients) {
      yield { client: socket, waitingBytes: socket.bufferedAmount, cut: () => socket.terminate() };
    }
    for (const response of open) {
      yield { client: response, waitingBytes: response.writableLength, cut: () => response.destroy() };
    }
  });
  const entrances = await openEntrances(server, options.address);

  async function stop(): Promise<void> {
    slowness[Symbol.dispose]();
    beat[Symbol.dispose]();
    const closed = entrances[Symbol.asyncDispose]();
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
    await new Promise((resolve) => sockets.close(resolve));
    await closed;
    clearInterval(idle);
    clearTimeout(limit);
  }

  return {
    url: entrances.url,
    serve: (graphql) => {
      serving = { graphql, open: graphqlOverWebSocket(graphql, options) };
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

/** The signal that a response is closed, made at the first call. */
function closedSignal(response: ServerResponse): () => AbortSignal {
  let made: AbortSignal | undefined;
  return () => {
    if (made) return made;
    const closed = new AbortController();
    made = closed.signal;
    if (response.closed) closed.abort('closed');
    // With a reason of ours: the default one is an exception, and taking its stack costs more than all the rest.
    else response.once('close', () => closed.abort('closed'));
    return made;
  };
}

function isEventStream(response: ServerResponse): boolean {
  return String(response.getHeader('content-type')).startsWith('text/event-stream');
}
