import { type NatsPermissions, type NatsUser, natsUsers, permissionsOf } from '@prequal/schema';

/** A user as the server's configuration has it. Without permissions it may do anything. */
export type NatsServerUser = { user: string; password: string; permissions?: NatsPermissions };

/** The users of the system, each with what it may do and no more. */
export function restrictedUsers(passwords: Record<NatsUser, string>): NatsServerUser[] {
  return natsUsers.map((user) => ({ user, password: passwords[user], permissions: permissionsOf(user) }));
}

/** The block of a nats-server's configuration that lets these users in and nobody else. */
export function authorizationBlock(users: readonly NatsServerUser[]): string {
  return `authorization {\n  users: [\n${users.map(userBlock).join('')}  ]\n}\n`;
}

/** A password that the server takes from its environment, e.g. `$SCORING_NATS_PASSWORD`; see `authorizationBlock`. */
export function passwordVariableOf(user: NatsUser): string {
  return `$${user.toUpperCase()}_NATS_PASSWORD`;
}

/** The same servers (comma-separated) for this user. */
export function natsUrlFor(natsUrl: string, { user, password }: Pick<NatsServerUser, 'user' | 'password'>): string {
  const identity = `${encodeURIComponent(user)}:${encodeURIComponent(password)}@`;
  return natsUrl
    .split(',')
    .map((url) => url.trim().replace(/^([a-z]+:\/\/)(?:[^@/]*@)?/, `$1${identity}`))
    .join(',');
}

function userBlock({ user, password, permissions }: NatsServerUser): string {
  // A variable stands without quotes.
  const secret = /^\$[A-Z_]+$/.test(password) ? password : JSON.stringify(password);
  return `    {
      user: ${JSON.stringify(user)}
      password: ${secret}
${permissions ? permissionsBlock(permissions) : ''}    }
`;
}

function permissionsBlock({ publish, subscribe }: NatsPermissions): string {
  return `      permissions: {
        publish: {
${list('allow', publish.allow)}${publish.deny ? list('deny', publish.deny) : ''}        }
        subscribe: {
${list('allow', subscribe.allow)}        }
      }
`;
}

function list(name: string, subjects: readonly string[]): string {
  return `          ${name}: [\n${subjects.map((subject) => `            ${JSON.stringify(subject)}\n`).join('')}          ]\n`;
}
