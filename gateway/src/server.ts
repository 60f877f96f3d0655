import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { answerHealth, type Health, type Logger, listen, pathOf, traceOf } from '@prequal/service';
import { useServer } from 'graphql-ws/use/ws';
import type { YogaServerInstance } from 'graphql-yoga';
import { WebSocketServer } from 'ws';
import type { RequestContext, RequestFacts } from './context.ts';
import { graphqlOverWebSocket } from './websocket.ts';

export type ServerOptions = {
  yoga: YogaServerInstance<RequestFacts, RequestContext>;
  health: Health;
  address: { host: string; port: number };
  /** larger bodies are refused with 413 before they are read */
  maxBodyBytes: number;
  isSynthetic: (request: IncomingMessage) => boolean;
  log: Logger;
};

/** frames of a WebSocket client: a subscription's document and variables fit many times */
const maxFrameBytes = 16 * 1024;
/** a request that was accepted before the stop is given this long to be answered */
const drainLimitMs = 5_000;

/**
 * The gateway's door: GraphQL over HTTP, SSE and WebSocket on `/graphql`, health and metrics beside it.
 * Disposing stops accepting, answers what is in hand, and cuts streams in the way their clients resume.
 */
export async function serveGateway(options: ServerOptions): Promise<AsyncDisposable & { url: string }> {
  const { yoga, health, log } = options;
  const open = new Set<ServerResponse>();
  let stopping = false;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (await answerHealth(health, request, response)) return;
    const trace = traceOf({
      correlationId: header(request, 'x-correlation-id'),
      traceparent: header(request, 'traceparent'),
    });
    response.setHeader('x-correlation-id', trace.correlationId);
    if (pathOf(request) === '/') {
      response.writeHead(302, { location: yoga.graphqlEndpoint }).end();
      return;
    }
    const body = await readBody(request, options.maxBodyBytes);
    if (body === undefined) {
      refuseLargeBody(response, options.maxBodyBytes);
      return;
    }
    // Proxies that buffer would hold back a status until the stream ends.
    if (header(request, 'accept')?.includes('text/event-stream')) response.setHeader('x-accel-buffering', 'no');
    const facts = { trace, synthetic: options.isSynthetic(request) };
    await yoga.handle(Object.assign(request, { body }), response, facts);
  }

  const server = createServer((request, response) => {
    open.add(response);
    response.once('close', () => {
      open.delete(response);
      // A connection that has been answered is kept for the next request; there is none to come.
      if (stopping) setImmediate(() => server.closeIdleConnections());
    });
    answer(request, response).catch((error: unknown) => {
      log.error({ err: error }, 'a request could not be answered');
      response.destroy();
    });
  });
  const sockets = new WebSocketServer({ noServer: true, maxPayload: maxFrameBytes });
  server.on('upgrade', (request, socket, head) => {
    if (stopping || pathOf(request) !== yoga.graphqlEndpoint) socket.destroy();
    else sockets.handleUpgrade(request, socket, head, (opened) => sockets.emit('connection', opened, request));
  });
  const graphqlSockets = useServer(graphqlOverWebSocket(yoga), sockets);
  const url = await listen(server, options.address);

  return {
    url,
    [Symbol.asyncDispose]: async () => {
      stopping = true;
      const closed = new Promise((resolve) => server.close(resolve));
      await graphqlSockets.dispose();
      // An SSE response that ended would tell its client that the stream is complete; a cut one is resumed.
      for (const response of open) if (isEventStream(response)) response.destroy();
      server.closeIdleConnections();
      const limit = setTimeout(() => server.closeAllConnections(), drainLimitMs);
      await closed;
      clearTimeout(limit);
    },
  };
}

function isEventStream(response: ServerResponse): boolean {
  return String(response.getHeader('content-type')).startsWith('text/event-stream');
}

function header(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
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

function refuseLargeBody(response: ServerResponse, maxBytes: number): void {
  const message = `The request is larger than ${maxBytes} bytes. Send a shorter document or fewer variables.`;
  response.writeHead(413, { 'content-type': 'application/json', connection: 'close' });
  response.end(JSON.stringify({ errors: [{ message, extensions: { code: 'PAYLOAD_TOO_LARGE' } }] }));
}
