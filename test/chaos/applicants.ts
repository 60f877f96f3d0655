import { seeded } from './random.ts';

/** What a handler does to an application that is marked by its income, see faulty-bureau.ts. */
export const deeds = { throws: '11111.01', exits: '11111.02', blocks: '11111.03', noHistory: '11111.04' } as const;
export type Deed = keyof typeof deeds;

export type Input = {
  panNumber: string;
  applicantName: string;
  monthlyIncomeInr: string;
  loanAmountInr: string;
  loanType: 'PERSONAL' | 'HOME' | 'AUTO';
  idempotencyKey: string;
};

/** Begins every PAN that is no fixture and stands in every name: what must be found nowhere in clear. */
export const panMark = 'ZQXPK';
export const nameMark = 'Quillfeather';
export const fixtures = ['ABCDE1234F', 'FGHIJ5678K'] as const;

export type Applicants = { next: (deed?: Deed) => Input };

/** Applicants at the edges of the rules, each with a key of their own. */
export function applicants(seed: number): Applicants {
  const random = seeded(seed);
  let count = 0;
  return {
    next: (deed) => {
      count += 1;
      const letter = String.fromCharCode(65 + random.int(0, 25));
      const pan = `${panMark}${String(random.int(0, 9_999)).padStart(4, '0')}${letter}`;
      const incomePaise = random.pick([7_500_000, 7_500_001, 3_000_000, 2_999_999, random.int(1_000_000, 20_000_000)]);
      // Just below, at and just above one forty-eighth.
      const amountPaise = Math.max(1, incomePaise * 48 + random.pick([-1, 0, 1, -random.int(2, 4_000_000)]));
      return {
        panNumber: random.chance(0.2) && !deed ? random.pick(fixtures) : pan,
        applicantName: `Applicant ${nameMark} ${count}`,
        monthlyIncomeInr: deed ? deeds[deed] : rupees(incomePaise),
        loanAmountInr: rupees(Math.min(amountPaise, 999_999_999_999)),
        loanType: random.pick(['PERSONAL', 'HOME', 'AUTO']),
        idempotencyKey: `key-${seed}-${count}`,
      };
    },
  };
}

function rupees(paise: number): string {
  return `${Math.floor(paise / 100)}.${String(paise % 100).padStart(2, '0')}`;
}
