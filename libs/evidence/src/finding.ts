/** What a check has found: a fault, or what it could not check and why. */
export type Finding = { isFault: boolean; sentence: string };

export function fault(sentence: string): Finding {
  return { isFault: true, sentence };
}

export function note(sentence: string): Finding {
  return { isFault: false, sentence };
}

/** The fault, unless it holds. */
export function unless(holds: boolean, sentence: string): Finding[] {
  return holds ? [] : [fault(sentence)];
}
