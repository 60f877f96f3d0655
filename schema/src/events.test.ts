import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { applicationStatuses, cibilScoreRange, loanTypes, submissionLimits } from './application.ts';
import {
  createEvent,
  decodeEvent,
  type EventFacts,
  type EventName,
  type EventOf,
  encodeEvent,
  events,
  InvalidEventError,
  subjectOf,
} from './events.ts';

const hex = (length: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`));
const paise = fc.integer({ min: 1, max: submissionLimits.maxAmountPaise });
const score = fc.integer(cibilScoreRange);
const text = fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' });

const anyData: { [Name in EventName]: fc.Arbitrary<EventOf<Name>['data']> } = {
  applicationSubmitted: fc.record({
    panCiphertext: fc.base64String({ minLength: 4 }),
    monthlyIncomeInr: paise,
    loanAmountInr: paise,
    loanType: fc.constantFrom(...loanTypes),
  }),
  creditReportGenerated: fc.record({
    report: fc.oneof(
      fc.record({ result: fc.constant('SCORED' as const), score, bureau: text }),
      fc.record({ result: fc.constant('NO_HISTORY' as const), bureau: text }),
    ),
  }),
  statusChanged: fc.record({
    status: fc.constantFrom(...applicationStatuses),
    version: fc.integer({ min: 1 }),
    cibilScore: fc.option(score),
    reasons: fc.array(fc.record({ code: fc.stringMatching(/^[A-Z][A-Z0-9_]{0,20}$/), message: text })),
  }),
};

function anyFacts<Name extends EventName>(name: Name): fc.Arbitrary<EventFacts<Name>> {
  return fc.record({
    id: fc.uuid(),
    source: text,
    applicationId: fc.uuid({ version: 7 }),
    time: fc.date({ min: new Date('2000-01-01'), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true }),
    trace: fc.record({
      correlationId: fc.string({ minLength: 1, maxLength: 128 }),
      traceparent: fc.tuple(hex(32), hex(16), hex(2)).map((parts) => `00-${parts.join('-')}`),
    }),
    data: anyData[name],
  });
}

const names = Object.keys(events) as EventName[];

/** The JSON of a sound event of each name, with one place in it replaced; `undefined` removes the place. */
function spoilt(name: EventName, path: string, value: unknown): string {
  const facts = {
    id: '019a0000-0000-7000-8000-000000000001',
    source: 'test',
    applicationId: '019a0000-0000-7000-8000-00000000000a',
    time: new Date('2026-01-31T09:30:00.000Z'),
    trace: { correlationId: 'c-1', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` },
  };
  const sound: Record<EventName, string> = {
    applicationSubmitted: encodeEvent(
      'applicationSubmitted',
      createEvent('applicationSubmitted', {
        ...facts,
        data: { panCiphertext: 'AAAA', monthlyIncomeInr: 1, loanAmountInr: 1, loanType: 'HOME' },
      }),
    ),
    creditReportGenerated: encodeEvent(
      'creditReportGenerated',
      createEvent('creditReportGenerated', {
        ...facts,
        data: { report: { result: 'SCORED', score: 700, bureau: 'b' } },
      }),
    ),
    statusChanged: encodeEvent(
      'statusChanged',
      createEvent('statusChanged', {
        ...facts,
        data: { status: 'REJECTED', version: 2, cibilScore: 600, reasons: [{ code: 'A', message: 'm' }] },
      }),
    ),
  };
  const json = JSON.parse(sound[name]);
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  let place = json;
  for (const key of keys) place = place[key];
  place[last] = value;
  return JSON.stringify(json);
}

const refusals: [EventName, string, unknown][] = [
  ['applicationSubmitted', 'specversion', '0.3'],
  ['applicationSubmitted', 'id', 'not-a-uuid'],
  ['applicationSubmitted', 'source', ''],
  ['applicationSubmitted', 'type', 'prequal.credit-report.generated.v1'],
  ['applicationSubmitted', 'subject', 'ABCDE1234F'],
  ['applicationSubmitted', 'time', '31.01.2026'],
  ['applicationSubmitted', 'time', '2026-02-30T00:00:00Z'],
  ['applicationSubmitted', 'datacontenttype', 'text/xml'],
  ['applicationSubmitted', 'correlationid', 'c'.repeat(129)],
  ['applicationSubmitted', 'traceparent', `01-${'a'.repeat(32)}-${'b'.repeat(16)}-01`],
  ['applicationSubmitted', 'data', undefined],
  ['applicationSubmitted', 'data.panCiphertext', 'ABCDE1234F!'],
  ['applicationSubmitted', 'data.monthlyIncomeInr', 75000],
  ['applicationSubmitted', 'data.monthlyIncomeInr', '0.00'],
  ['applicationSubmitted', 'data.loanAmountInr', '1.001'],
  ['applicationSubmitted', 'data.loanType', 'GOLD'],
  ['creditReportGenerated', 'type', 'prequal.credit-report.generated.v2'],
  ['creditReportGenerated', 'data.report', null],
  ['creditReportGenerated', 'data.report.result', 'UNKNOWN'],
  ['creditReportGenerated', 'data.report.score', 299],
  ['creditReportGenerated', 'data.report.score', 901],
  ['creditReportGenerated', 'data.report.score', 700.5],
  ['creditReportGenerated', 'data.report.score', undefined],
  ['statusChanged', 'data.status', 'APPROVED'],
  ['statusChanged', 'data.version', 0],
  ['statusChanged', 'data.cibilScore', 299],
  ['statusChanged', 'data.cibilScore', undefined],
  ['statusChanged', 'data.reasons.0.code', 'lower case'],
  ['statusChanged', 'data.reasons.0.message', ''],
  ['statusChanged', 'data.reasons.0.message', 'm'.repeat(2_001)],
];

function refusalOf(name: EventName, wire: string): Error {
  try {
    decodeEvent(name, wire);
  } catch (error) {
    return error as Error;
  }
  throw new Error('the event was accepted');
}

describe.each(names)('%s', (name) => {
  test('arrives as it was sent', () => {
    fc.assert(
      fc.property(anyFacts(name), (facts) => {
        const event = createEvent(name, facts);
        expect(decodeEvent(name, encodeEvent(name, event))).toEqual(event);
      }),
    );
  });

  test('is a CloudEvents 1.0 envelope with the application as its subject', () => {
    fc.assert(
      fc.property(anyFacts(name), (facts) => {
        expect(JSON.parse(encodeEvent(name, createEvent(name, facts)))).toMatchObject({
          specversion: '1.0',
          id: facts.id,
          type: events[name].schema.shape.type.value,
          source: facts.source,
          subject: facts.applicationId,
          time: facts.time.toISOString(),
          datacontenttype: 'application/json',
        });
      }),
    );
  });

  test('is not mistaken for another event', () => {
    fc.assert(
      fc.property(anyFacts(name), (facts) => {
        const wire = encodeEvent(name, createEvent(name, facts));
        for (const other of names.filter((candidate) => candidate !== name)) {
          expect(() => decodeEvent(other, wire)).toThrow(InvalidEventError);
        }
      }),
    );
  });

  test('travels on a subject that ends in the id of its application', () => {
    expect(subjectOf(name, 'x')).toBe(`${events[name].subjectPrefix}.x`);
  });

  test('is not sent when it is not what its schema says', () => {
    fc.assert(
      fc.property(anyFacts(name), (facts) => {
        expect(() => encodeEvent(name, createEvent(name, { ...facts, id: 'no uuid' }))).toThrow();
        expect(() => encodeEvent(name, createEvent(name, { ...facts, time: new Date(Number.NaN) }))).toThrow();
        expect(() => encodeEvent(name, createEvent(name, { ...facts, data: {} as never }))).toThrow();
      }),
    );
  });
});

describe('an event that is not what its schema says is refused, by the path of the fault', () => {
  test.each(refusals)('%s with %s = %j', (name, path, value) => {
    const refusal = refusalOf(name, spoilt(name, path, value));
    expect(refusal).toBeInstanceOf(InvalidEventError);
    expect(refusal.message.replace(/: [a-z_]+$/, '')).toBe(path);
  });

  test.each(['', '{', 'undefined', 'ABCDE1234F'])('%j is not JSON', (wire) => {
    expect(refusalOf('statusChanged', wire)).toEqual(new InvalidEventError('not JSON'));
  });

  test.each(['null', '[]', '"ABCDE1234F"', '1'])('%s is no envelope', (wire) => {
    expect(refusalOf('statusChanged', wire)).toEqual(new InvalidEventError('(envelope): invalid_type'));
  });

  test('fields added by a later version are let through and left out', () => {
    const wire = spoilt('statusChanged', 'data.addedLater', 'x');
    expect(decodeEvent('statusChanged', wire).data).not.toHaveProperty('addedLater');
  });
});

describe('a refusal never repeats what was refused', () => {
  // With the sign in front it is no base64 and no reason code, which a PAN alone would be.
  const secret = fc.string({ maxLength: 20, unit: 'grapheme' }).map((rest) => `§ABCDE1234F${rest}`);
  const offending = fc.oneof(
    secret,
    fc.array(secret, { minLength: 1, maxLength: 3 }),
    fc.dictionary(secret, secret, { minKeys: 1, maxKeys: 3 }),
  );
  const place = fc.constantFrom(...refusals.map(([name, path]) => ({ name, path })));
  // These take any text: there the secret has to make them wrong in another way.
  const takingAnyText = new Set(['source', 'correlationid', 'data.reasons.0.message']);

  test('whatever stands in whatever place', () => {
    fc.assert(
      fc.property(place, offending, ({ name, path }, value) => {
        fc.pre(!(takingAnyText.has(path) && typeof value === 'string'));
        const refusal = refusalOf(name, spoilt(name, path, value));
        expect(refusal).toBeInstanceOf(InvalidEventError);
        expect(refusal.message).not.toContain('ABCDE1234F');
        expect(refusal.cause).toBeUndefined();
      }),
      { numRuns: 500 },
    );
  });

  test('also when the whole text is not an event', () => {
    fc.assert(
      fc.property(fc.constantFrom(...names), offending, fc.constantFrom('', '{'), (name, value, damage) => {
        const refusal = refusalOf(name, damage + JSON.stringify(value));
        expect(refusal).toBeInstanceOf(InvalidEventError);
        expect(refusal.message).not.toContain('ABCDE1234F');
      }),
    );
  });

  test('however many faults there are, it names at most ten', () => {
    const reasons = Array.from({ length: 50 }, () => ({ code: 'ABCDE1234F a', message: '' }));
    const { message } = refusalOf('statusChanged', spoilt('statusChanged', 'data.reasons', reasons));
    expect(message.split('; ')).toHaveLength(10);
    expect(message).not.toContain('ABCDE1234F');
  });

  test('also not when it is refused on the way out', () => {
    const event = createEvent('creditReportGenerated', {
      id: 'ABCDE1234F',
      source: '',
      applicationId: 'ABCDE1234F',
      time: new Date(0),
      trace: { correlationId: '', traceparent: 'ABCDE1234F' },
      data: { report: { result: 'ABCDE1234F' } as never },
    });
    expect(() => encodeEvent('creditReportGenerated', event)).toThrow(/^(?![\s\S]*ABCDE1234F)[\s\S]*traceparent/);
  });
});
