import { z } from 'zod';
import type { Consent } from '../application.ts';
import { isStaff } from '../viewer.ts';
import { ApplicationType } from './application.ts';
import { builder, checkedBy } from './builder.ts';

const purposeRule = 'must be a code of 1 to 64 capital letters, digits and underscores, e.g. CREDIT_ASSESSMENT';
const noticeRule = 'must be 1 to 64 letters, digits and . _ -, e.g. 2026-04';
const languageRule = 'must be a language tag (BCP 47), e.g. en-IN or hi';
const timeRule = 'must not lie in the future';

// Codes and no sentences: nothing personal can stand in them.
const purpose = z.string().regex(/^[A-Z][A-Z0-9_]{0,63}$/, { error: purposeRule });
const noticeVersion = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, { error: noticeRule });
const language = z.string().max(35, { error: languageRule }).refine(isLanguageTag, { error: languageRule });

/** what a client's clock may be ahead of ours, milliseconds */
const clockLeewayMs = 5 * 60_000;

const givenAt = z.string().refine((text) => Date.parse(text) <= Date.now() + clockLeewayMs, { error: timeRule });

function isLanguageTag(tag: string): boolean {
  try {
    return Intl.getCanonicalLocales(tag).length === 1;
  } catch {
    return false;
  }
}

export const ConsentInput = builder.inputType('ConsentInput', {
  description:
    'That the applicant was told, and agreed, what the data are used for (Digital Personal Data Protection Act, 2023).',
  fields: (t) => ({
    purpose: t.string({
      required: true,
      description: 'What for, as a code, e.g. CREDIT_ASSESSMENT',
      ...checkedBy(purpose),
    }),
    noticeVersion: t.string({
      required: true,
      description: 'Version of the notice that was shown, e.g. 2026-04',
      ...checkedBy(noticeVersion),
    }),
    language: t.string({
      required: true,
      description: 'Language of the notice (BCP 47), e.g. en-IN',
      ...checkedBy(language),
    }),
    givenAt: t.field({ type: 'DateTime', required: true, description: 'When it was given', ...checkedBy(givenAt) }),
  }),
});

const ConsentType = builder.objectRef<Consent>('Consent').implement({
  description: 'What the applicant has agreed to.',
  fields: (t) => ({
    purpose: t.exposeString('purpose', { description: 'What for, as a code' }),
    noticeVersion: t.exposeString('noticeVersion', { description: 'Version of the notice that was shown' }),
    language: t.exposeString('language', { description: 'Language of the notice (BCP 47)' }),
    givenAt: t.expose('givenAt', { type: 'DateTime' }),
  }),
});

builder.objectField(ApplicationType, 'consent', (t) =>
  t.field({
    type: ConsentType,
    nullable: true,
    description: 'null when none was given, and for everybody but staff',
    resolve: ({ consent }, _args, { viewer }) => (isStaff(viewer) ? consent : null),
  }),
);
