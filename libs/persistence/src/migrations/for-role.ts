/** Statements for a role, if there is one: the schema's owner may migrate without the right to make roles. */
export function forRole(role: string, ...statements: string[]): string {
  return `
    do $$ begin
      if to_regrole('${role}') is not null then
        ${statements.map((statement) => `${statement};`).join('\n        ')}
      end if;
    end $$`;
}
