import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { childOf, traceOf } from './trace.ts';

const wellFormed = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;
const traceId = 'a'.repeat(32);
const parent = `00-${traceId}-${'b'.repeat(16)}-00`;

describe('a child span', () => {
  test('stays in its trace with its flags, under an id of its own', () => {
    const child = childOf(parent);
    expect(child).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`));
    expect(child).not.toBe(parent);
    expect(childOf(parent)).not.toBe(child);
  });

  test('of nothing starts a new trace, sampled', () => {
    expect(childOf(undefined)).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    expect(childOf(undefined).slice(3, 35)).not.toBe(childOf(undefined).slice(3, 35));
  });

  test.each([
    '',
    'x',
    parent.toUpperCase(),
    `${parent}-more`,
    `${parent}\n`,
    `01${parent.slice(2)}`,
    parent.slice(1),
    // "All bytes as zero is considered an invalid value" (W3C Trace Context, 3.2.2.3 and 3.2.2.4).
    `00-${'0'.repeat(32)}-${'b'.repeat(16)}-01`,
    `00-${traceId}-${'0'.repeat(16)}-01`,
  ])('of %j, which is no traceparent, starts a new trace', (malformed) => {
    const child = childOf(malformed);
    expect(child).toMatch(wellFormed);
    expect(child.slice(3, 35)).not.toBe(traceId);
    expect(child.slice(3, 35)).not.toBe('0'.repeat(32));
  });
});

describe('the trace of a request', () => {
  test.each(['ABCDE1234F', 'order-abcde1234f'])('a PAN in %s is not taken as a correlation id', (given) => {
    expect(traceOf({ correlationId: given, traceparent: undefined }).correlationId).not.toContain(given);
  });

  test.each(['c-1', 'a', 'order:2026.01_x', 'c'.repeat(128)])('keeps the well formed correlation id %s', (given) => {
    expect(traceOf({ correlationId: given, traceparent: undefined }).correlationId).toBe(given);
  });

  test.each([undefined, '', 'c'.repeat(129), 'a b', 'a\nb', 'a\n', '{"a":1}', 'é', 'a;b'])(
    'replaces %j by a new id',
    (given) => {
      const { correlationId } = traceOf({ correlationId: given, traceparent: undefined });
      expect(correlationId).toMatch(/^[0-9a-f]{32}$/);
      expect(traceOf({ correlationId: given, traceparent: undefined }).correlationId).not.toBe(correlationId);
    },
  );

  test('goes below the span that the client named', () => {
    expect(traceOf({ correlationId: undefined, traceparent: parent }).traceparent).toContain(traceId);
  });

  test('is well formed whatever the client sent, so that an event can carry it', () => {
    fc.assert(
      fc.property(
        fc.option(fc.string(), { nil: undefined }),
        fc.option(fc.string(), { nil: undefined }),
        (id, span) => {
          const trace = traceOf({ correlationId: id, traceparent: span });
          expect(trace.correlationId).toMatch(/^[A-Za-z0-9._:-]{1,128}$/);
          expect(trace.traceparent).toMatch(wellFormed);
        },
      ),
    );
  });
});
