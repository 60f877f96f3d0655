import { execFileSync } from 'node:child_process';

/**
 * The licence of every package that is shipped, from the bill of materials, as a table; ends with 1 when one has
 * a licence that is not on the list below.
 */
const permissive = new Set(['MIT', 'ISC', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD', 'Unlicense']);

const bill = execFileSync('npm', ['run', '--silent', 'sbom'], { encoding: 'utf8', maxBuffer: 1 << 26 });
const rows = JSON.parse(bill)
  .components.filter(({ purl }) => !purl.startsWith('pkg:npm/%40prequal/'))
  .map(({ name, version, licenses = [] }) => ({
    name,
    version,
    licence: licenses.map(({ license, expression }) => license?.id ?? license?.name ?? expression).join(' and '),
  }));
console.log('| package | version | licence |\n|---|---|---|');
for (const { name, version, licence } of rows) console.log(`| ${name} | ${version} | ${licence} |`);
const others = rows.filter(({ licence }) => !permissive.has(licence));
for (const { name, licence } of others) {
  console.error(`${name}: "${licence}" is not on the list; look whether we may ship it, then add it here.`);
}
process.exitCode = others.length === 0 ? 0 : 1;
