import { writeFileSync } from 'node:fs';
import { natsUsers } from '@prequal/schema';
import { authorizationBlock, passwordVariableOf, restrictedUsers } from './nats-users.ts';

/** The committed `deploy/nats-users.conf`: who may do what, for a server that takes the passwords from its environment. */
export const printedNatsUsersFile = new URL('../../../deploy/nats-users.conf', import.meta.url);

/** The users as text, as `deploy/nats-users.conf` must hold them. */
export function printNatsUsers(): string {
  const passwords = Object.fromEntries(natsUsers.map((user) => [user, passwordVariableOf(user)]));
  const users = restrictedUsers(passwords as Record<(typeof natsUsers)[number], string>);
  return `# Printed from the pipeline map by \`npm run nats-users\`.\n${authorizationBlock(users)}`;
}

if (import.meta.main) writeFileSync(printedNatsUsersFile, printNatsUsers());
