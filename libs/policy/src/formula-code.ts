/**
 * What is worked out in a formula, as the engine reads it: of a text in quotes nothing, of a sentence in backticks only
 * what stands in its `${}`. Each text is shown as `''`. One pass, however the quotes stand.
 */
export function codeOf(formula: string): string {
  let code = '';
  /** of the text that it is in */
  let quote: string | undefined;
  let inSentence = false;
  for (let at = 0; at < formula.length; at += 1) {
    const char = formula.charAt(at);
    if (quote === undefined) {
      const isEnd: boolean = char === '}' && inSentence;
      if (isEnd || char === "'" || char === '"' || char === '`') {
        quote = isEnd ? '`' : char;
        inSentence &&= !isEnd;
        code += isEnd ? ')' : "''";
      } else code += char;
    } else if (char === quote) quote = undefined;
    else if (quote === '`' && formula.startsWith('${', at)) {
      quote = undefined;
      inSentence = true;
      code += '(';
      at += 1;
    }
  }
  return code;
}

const beforeTests = new Set([undefined, ',', 'and', 'or', 'in']);

/**
 * True when a formula's code has a range that the engine may write out as a list of all its numbers, as `map` does. It
 * compares with the ends alone where the range follows `in`, and where it is the test of a cell.
 */
export function hasLooseRange(code: string, isTest: boolean): boolean {
  if (!code.includes('..')) return false;
  /** for each bracket that is open, whether a range may stand in it */
  const open: boolean[] = [];
  let before: string | undefined;
  for (const [token] of code.matchAll(/[\w$#]+|\.\.|\S/g)) {
    if (token === '..' && !open.at(-1)) return true;
    if (token === '[' || token === '(' || token === '{') {
      open.push(before === 'in' || (isTest && open.length === 0 && beforeTests.has(before)));
    } else if (token === ']' || token === ')' || token === '}') open.pop();
    before = token;
  }
  return false;
}
