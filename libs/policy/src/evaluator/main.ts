import { confine } from '../confine.ts';
import { loadPolicy } from '../load-policy.ts';
import { InvalidPolicyError, PolicyFaultError, type PolicyInput, type Verdict } from '../verdict.ts';
import type { Answer, Asked, Question, Said } from './lane.ts';

type Evaluate = (input: PolicyInput) => Promise<Verdict>;

/** The process of an evaluator: it says that it is there, and then answers until it is ended. */
confine({ niceness: Number(process.argv[2]) });
const evaluates = new Map<string, Evaluate>();

process.on('message', (asked: Asked) => void answerAll(asked));
say('ready');

function say(said: Said): void {
  process.send?.(said);
}

/** longest that an answer is kept, so that it goes with others, milliseconds */
const keptMs = 5;

async function answerAll({ documents, questions, atOnce }: Asked): Promise<void> {
  for (const [hash, document] of Object.entries(documents)) evaluates.set(hash, evaluateOf(document));
  let answered: [number, Answer][] = [];
  const tell = () => {
    if (answered.length > 0) say(answered);
    answered = [];
  };
  const timer = setInterval(tell, keptMs);
  for (let from = 0; from < questions.length; from += atOnce) {
    const some = questions.slice(from, from + atOnce);
    // Each as it comes: who asks waits for the next answer, and not for the slowest of several.
    await Promise.all(
      some.map(async (question, index) => {
        const one = await answer(question);
        answered.push([from + index, one]);
      }),
    );
  }
  clearInterval(timer);
  tell();
}

function evaluateOf(document: string): Evaluate {
  try {
    return loadPolicy(document).evaluate;
  } catch (error) {
    if (!(error instanceof InvalidPolicyError)) throw error;
    const { kind = 'UNREADABLE' } = error.findings[0] ?? {};
    return () => Promise.reject(new PolicyFaultError(kind, error.message));
  }
}

async function answer({ hash, input }: Question): Promise<Answer> {
  const evaluate = evaluates.get(hash);
  if (!evaluate) throw new Error('a question about a document that was never sent');
  try {
    return { verdict: await evaluate(input) };
  } catch (error) {
    if (!(error instanceof PolicyFaultError)) throw error;
    return { fault: { kind: error.kind, message: error.message } };
  }
}
