import type { Application } from '@prequal/schema';
import type { GraphQLContext } from '@prequal/schema/graphql';

const createdAt = new Date('2026-11-24T09:30:00.000Z');

const application: Application = {
  id: '01890a5d-ac96-774b-bcce-b302099a8057',
  maskedPan: 'ABCDE***4F',
  applicantName: null,
  monthlyIncomePaise: 75_000_00,
  loanAmountPaise: 500_000_00,
  loanType: 'PERSONAL',
  status: 'PENDING',
  cibilScore: null,
  consent: null,
  version: 1,
  createdAt,
  updatedAt: createdAt,
};

/** In the place of a write and of a read: the same for each server that is compared. */
export const submitApplication: GraphQLContext['submitApplication'] = async () => ({ application, replayed: false });
export const findApplication: GraphQLContext['findApplication'] = async () => application;

/** All that the resolvers of the two operations ask for. */
export const context = { viewer: 'anonymous', submitApplication, findApplication };
