/** The people behind the desk. A token without any of these is an applicant's or a partner's. */
export const roles = ['underwriter', 'analyst', 'operator', 'auditor'] as const;
export type Role = (typeof roles)[number];

/** Who asks. The subject is the token's `sub`: 1 to 255 printable ASCII characters, possibly personal, never logged. */
export type Viewer = 'anonymous' | { subject: string; roles: readonly Role[] };

/** Staff, i.e. anybody with a role, sees every application. */
export function isStaff(viewer: Viewer): boolean {
  return viewer !== 'anonymous' && viewer.roles.length > 0;
}
