import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { score } from '../../scoring/src/score.ts';
import { decide } from '../seed-1.ts';
import { applicants } from './applicants.ts';
import type { Facts } from './facts.ts';
import { faultNames } from './faults/catalogue.ts';
import { checkInvariants, invariants } from './invariants.ts';
import { copyTree, plant } from './mutants/copy.ts';
import { mutants } from './mutants/mutants.ts';
import { readOptions } from './options.ts';
import { expectedOutcome, expectedScore } from './oracle.ts';
import { planRound } from './plan.ts';

const paise = (rupees: string) => Number(rupees.replace('.', ''));

test('what goes wrong follows from the seed alone', () => {
  const planOf = (seed: number) => planRound({ seed, faults: faultNames, lastsMs: 60_000 });
  expect(planOf(1)).toEqual(planOf(1));
  expect(planOf(1)).not.toEqual(planOf(2));
  expect(planOf(1).length).toBeGreaterThan(10);
});

test('faults are chosen by name, all, none, and without', () => {
  const chosen = (faults: string) => readOptions([`--faults=${faults}`]).faults;
  expect(chosen('all')).toEqual(faultNames);
  expect(chosen('none')).toEqual([]);
  expect(chosen('kill,stop')).toEqual(['kill', 'stop']);
  expect(chosen('all,-kill')).toEqual(faultNames.filter((name) => name !== 'kill'));
  expect(() => chosen('kil')).toThrow('There is no fault kil');
  expect(() => readOptions(['--rate', '0'])).toThrow('--rate must be a whole number');
});

test('the oracle and the code agree on what is submitted', () => {
  const random = applicants(1);
  for (let count = 0; count < 500; count += 1) {
    const input = random.next();
    const applicationId = `00000000-0000-7000-8000-${String(count).padStart(12, '0')}`;
    const facts = { monthlyIncomePaise: paise(input.monthlyIncomeInr), loanAmountPaise: paise(input.loanAmountInr) };
    const given = score(
      { ...facts, applicationId, panNumber: input.panNumber, loanType: input.loanType },
      { useSandboxFixtures: true },
    );
    const range = expectedScore(input);
    expect(given).toBeGreaterThanOrEqual(range?.min ?? Number.POSITIVE_INFINITY);
    expect(given).toBeLessThanOrEqual(range?.max ?? Number.NEGATIVE_INFINITY);
  }
});

test('the oracle and the code agree on every score and amount', () => {
  const input = applicants(1).next();
  const amount = fc.integer({ min: 1, max: 999_999_999_999 });
  const rupees = (amountPaise: number) =>
    `${Math.floor(amountPaise / 100)}.${String(amountPaise % 100).padStart(2, '0')}`;
  fc.assert(
    fc.property(fc.integer({ min: 300, max: 900 }), amount, amount, (given, monthlyIncomePaise, loanAmountPaise) => {
      const report = { result: 'SCORED', score: given, bureau: 'test' } as const;
      const stated = { ...input, monthlyIncomeInr: rupees(monthlyIncomePaise), loanAmountInr: rupees(loanAmountPaise) };
      expect(expectedOutcome(stated, given)).toBe(decide({ report, monthlyIncomePaise, loanAmountPaise }).outcome);
    }),
  );
});

/** One application that was decided and watched as it should be. */
function soundFacts() {
  const input = {
    ...applicants(1).next(),
    panNumber: 'ABCDE1234F',
    monthlyIncomeInr: '90000.00',
    loanAmountInr: '500000.00',
  };
  const id = '01890000-0000-7000-8000-000000000000';
  return {
    submissions: [
      {
        input,
        deed: undefined,
        attempts: 1,
        acknowledged: [{ id, replayed: false, atMs: 1 }],
        wrongAnswers: [] as string[],
      },
    ],
    watchers: [
      {
        id,
        transport: 'ws' as const,
        after: 0 as number | undefined,
        updates: [
          { status: 'PENDING', version: 1, cibilScore: null, final: false },
          { status: 'PRE_APPROVED', version: 2, cibilScore: 790, final: true },
        ],
        end: 'complete' as Facts['watchers'][number]['end'],
      },
    ],
    planted: [] as Facts['planted'][number][],
    lostMessagesAtMs: undefined,
    applications: new Map([
      [
        id,
        {
          id,
          status: 'PRE_APPROVED',
          version: 2,
          score: 790,
          income: input.monthlyIncomeInr,
          amount: input.loanAmountInr,
          loanType: input.loanType,
          eventHash: 'b',
        },
      ],
    ]),
    events: new Map([
      [
        id,
        [
          {
            applicationId: id,
            version: 1,
            status: 'PENDING',
            hash: 'a',
            previousHash: null as string | null,
            isSound: true,
          },
          { applicationId: id, version: 2, status: 'PRE_APPROVED', hash: 'b', previousHash: 'a', isSound: true },
        ],
      ],
    ]),
    decisions: new Map([[id, [{ applicationId: id, version: 2, outcome: 'PRE_APPROVED', decidedBy: 'POLICY' }]]]),
    deadLetters: [] as Facts['deadLetters'],
  };
}

type SoundFacts = ReturnType<typeof soundFacts>;
const only = <T>(items: Iterable<T>): T => {
  const [item] = items;
  if (item === undefined) throw new Error('nothing is there');
  return item;
};

describe('each invariant can be broken', () => {
  const breaks: Record<string, ((facts: SoundFacts) => void)[]> = {
    'every submission is acknowledged once all has healed': [({ submissions }) => only(submissions).acknowledged.pop()],
    'clients get no other error than UNAVAILABLE': [
      ({ submissions }) => only(submissions).wrongAnswers.push('INTERNAL'),
    ],
    'what was acknowledged is stored as it was sent': [
      ({ applications }) => applications.clear(),
      ({ applications }) => (only(applications.values()).amount = '1.00'),
    ],
    'one key, one application': [
      ({ submissions }) => only(submissions).acknowledged.push({ id: 'another', replayed: false, atMs: 2 }),
      ({ applications }) => applications.set('another', { ...only(applications.values()), id: 'another' }),
    ],
    'every application is decided': [({ applications }) => (only(applications.values()).status = 'PENDING')],
    'decided once, as the oracle decides': [
      ({ decisions }) => only(decisions.values()).push(only(only(decisions.values()))),
      ({ decisions }) => decisions.clear(),
      ({ applications }) => (only(applications.values()).score = 610),
      ({ decisions }) => (only(only(decisions.values())).outcome = 'REJECTED'),
    ],
    'versions without gaps, and a final status is the last': [
      ({ events }) => only(events.values()).shift(),
      ({ events }) => (only(only(events.values())).status = 'REJECTED'),
    ],
    'every history is an unbroken chain': [
      ({ events }) => (only(only(events.values())).isSound = false),
      ({ events }) => (only(only(events.values())).previousHash = 'c'),
      ({ applications }) => (only(applications.values()).eventHash = 'a'),
    ],
    'watchers see only what happened, in order, without gaps': [
      ({ watchers }) => only(watchers).updates.shift(),
      ({ watchers }) => only(watchers).updates.push(only(only(watchers).updates)),
      ({ watchers }) => (only(only(watchers).updates).status = 'REJECTED'),
    ],
    'every watcher sees the end': [
      ({ watchers }) => only(watchers).updates.pop(),
      ({ watchers }) => (only(watchers).end = 'error: away'),
      ({ watchers }) => (only(watchers).end = 'open'),
    ],
    'dead letters are the planted ones': [
      ({ planted }) => planted.push({ subject: 'a', errorClass: 'INVALID_MESSAGE', atMs: 1 }),
      ({ deadLetters }) =>
        deadLetters.push({
          subject: 'a',
          applicationId: null,
          errorClass: 'HANDLER_FAILED',
          state: 'OPEN',
          consumer: 'scoring',
        }),
    ],
  };

  test('and holds when all is well', () => {
    expect(checkInvariants(soundFacts())).toEqual([]);
    expect(Object.keys(breaks)).toEqual(invariants.map(({ name }) => name));
  });

  test.for(Object.entries(breaks))('%s', ([name, ways]) => {
    for (const way of ways) {
      const facts = soundFacts();
      way(facts);
      expect(checkInvariants(facts).map(({ invariant }) => invariant)).toContain(name);
    }
  });
});

test('every mutant fits the code', async () => {
  expect(mutants.length).toBeGreaterThanOrEqual(10);
  await using tree = await copyTree(path.join(import.meta.dirname, '../..'));
  for (const mutant of mutants) await (await plant(tree.folder, mutant))[Symbol.asyncDispose]();
});
