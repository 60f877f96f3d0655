export type ServerSentEvent = { event: string; data: string };

/**
 * Splits a `text/event-stream` body into its events, leaving out comments (heartbeats). Ends when the
 * body ends. Source: WHATWG HTML, "Interpreting an event stream".
 */
export async function* serverSentEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<ServerSentEvent> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    rest = (rest + decoder.decode(chunk, { stream: true })).replaceAll('\r\n', '\n');
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      const event = parse(rest.slice(0, end));
      rest = rest.slice(end + 2);
      if (event) yield event;
    }
  }
}

function parse(block: string): ServerSentEvent | undefined {
  const result: ServerSentEvent = { event: 'message', data: '' };
  const data: string[] = [];
  for (const line of block.split('\n')) {
    const [, field, value = ''] = /^([^:]+)(?:: ?(.*))?$/.exec(line) ?? [];
    if (field === 'event') result.event = value;
    if (field === 'data') data.push(value);
  }
  if (data.length === 0 && result.event === 'message') return undefined;
  return { ...result, data: data.join('\n') };
}
