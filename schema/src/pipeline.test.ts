import { describe, expect, test } from 'vitest';
import { type EventName, events, subjectOf } from './events.ts';
import {
  attemptsSubject,
  type ConsumerName,
  consumers,
  deadLetterSubject,
  type StreamName,
  streams,
} from './pipeline.ts';

const id = '019a0000-0000-7000-8000-000000000001';
const consumerNames = Object.keys(consumers) as ConsumerName[];
const streamNames = Object.keys(streams) as StreamName[];

/** NATS' rule: `*` is one token, `>` is one or more at the end. */
function keeps(pattern: string, subject: string): boolean {
  const wanted = pattern.split('.');
  const tokens = subject.split('.');
  return (
    wanted.every((token, index) => {
      if (token === '>') return tokens.length > index;
      return token === '*' ? tokens[index] !== undefined : token === tokens[index];
    }) &&
    (wanted.at(-1) === '>' || wanted.length === tokens.length)
  );
}

/** Two patterns overlap when some subject is kept by both. */
function overlap(one: string, other: string): boolean {
  const [a = '', ...restOfA] = one.split('.');
  const [b = '', ...restOfB] = other.split('.');
  if (a === '' || b === '') return a === b;
  if (a === '>' || b === '>') return true;
  return (a === b || a === '*' || b === '*') && overlap(restOfA.join('.'), restOfB.join('.'));
}

function streamsKeeping(subject: string): StreamName[] {
  return streamNames.filter((name) => streams[name].subjects.some((pattern) => keeps(pattern, subject)));
}

describe.each(consumerNames)('%s', (name) => {
  const consumer = consumers[name];

  test('finds what it consumes in the stream it reads', () => {
    expect(streamsKeeping(subjectOf(consumer.consumes, id))).toEqual([consumer.stream]);
  });

  test('emits nothing that no stream keeps', () => {
    for (const emitted of consumer.emits) expect(streamsKeeping(subjectOf(emitted, id))).toHaveLength(1);
  });

  test('does not answer itself', () => {
    expect(consumer.emits).not.toContain(consumer.consumes);
  });

  test('leaves its dead letters in the stream for them', () => {
    expect(streamsKeeping(deadLetterSubject(name, id))).toEqual(['LOAN_DLQ']);
    expect(streamsKeeping(deadLetterSubject(name, undefined))).toEqual(['LOAN_DLQ']);
  });

  test('keeps its notes where the newest alone stays', () => {
    expect(streamsKeeping(attemptsSubject(name, id))).toEqual(['LOAN_ATTEMPTS']);
    expect(streams.LOAN_ATTEMPTS.maxPerSubject).toBe(1);
  });
});

test('every event is kept by exactly one stream', () => {
  const keptBy = Object.keys(events).map((name) => streamsKeeping(subjectOf(name as EventName, id)).length);
  expect(keptBy).toEqual(Object.keys(events).map(() => 1));
});

test('subjects of streams do not overlap: the broker would refuse the second stream', () => {
  const all = streamNames.flatMap((name) => streams[name].subjects);
  const overlapping = all.flatMap((one, index) =>
    all
      .slice(index + 1)
      .filter((other) => overlap(one, other))
      .map((other) => `${one} and ${other}`),
  );
  expect(overlapping).toEqual([]);
});

test.each([
  ['a.*', 'a.b', true],
  ['a.*', 'a.b.c', false],
  ['a.*', 'a', false],
  ['a.>', 'a.b.c', true],
  ['a.>', 'a', false],
  ['a.*.c', 'a.b.*', true],
  ['a.*.c', 'a.b.d', false],
])('the tests above know that %s and %s overlap: %s', (one, other, expected) => {
  expect(overlap(one, other)).toBe(expected);
  expect(overlap(other, one)).toBe(expected);
  if (!other.includes('*')) expect(keeps(one, other)).toBe(expected);
});

describe('streams keep what the design says', () => {
  test.each([
    ['LOAN_APPLICATIONS', ['loan.applications.submitted.*'], 7, 'new'],
    ['LOAN_CREDIT_REPORTS', ['loan.credit-reports.generated.*'], 7, 'new'],
    ['LOAN_STATUS', ['loan.applications.status.*'], 7, 'old'],
    ['LOAN_DLQ', ['loan.dlq.>'], 30, 'old'],
  ] as const)('%s: %j for %d days, discarding %s', (name, subjects, days, discard) => {
    expect(streams[name]).toEqual({ subjects, maxAgeMs: days * 86_400_000, discard });
  });
});
