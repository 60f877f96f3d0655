import { readdir, readFile } from 'node:fs/promises';

/** A process whose use is told; PostgreSQL's counts with all its sessions. */
export type Metered = { name: string; pid: number; withChildren?: boolean };

export type Usage = { cpuMs: number; memoryBytes: number };

/** of /proc, on every Linux that Node runs on */
const msPerTick = 10;

/** By name. Empty where there is no /proc. */
export async function usageOf(processes: readonly Metered[]): Promise<Map<string, Usage>> {
  const usages = await Promise.all(
    processes.map(async (process) => {
      const usage = await usageOfAll(process);
      return usage && ([process.name, usage] as const);
    }),
  );
  return new Map(usages.filter((usage) => usage !== undefined));
}

/** most times that it is read again because a child ended meanwhile, which moves its time to its parent */
const maxReadings = 10;

async function usageOfAll({ pid, withChildren = false }: Metered): Promise<Usage | undefined> {
  for (let reading = 1; ; reading += 1) {
    const before = await ticksOf(pid);
    const pids = withChildren ? [pid, ...(await childrenOf(pid))] : [pid];
    const each = await Promise.all(pids.map((one) => usageOfOne(one, one === pid && withChildren)));
    const after = await ticksOf(pid);
    if (before?.ofEnded !== after?.ofEnded && reading < maxReadings) continue;
    const sum = (field: keyof Usage) => each.reduce((total, usage) => total + (usage?.[field] ?? 0), 0);
    return each[0] && { cpuMs: sum('cpuMs'), memoryBytes: sum('memoryBytes') };
  }
}

/** CPU time that each has used since, in microseconds for each of so many pieces of work. */
export async function cpuSince(
  before: Map<string, Usage>,
  processes: readonly Metered[],
  pieces: number,
): Promise<[name: string, microseconds: number][]> {
  const now = await usageOf(processes);
  return [...now].map(([name, { cpuMs }]) => [name, ((cpuMs - (before.get(name)?.cpuMs ?? 0)) * 1_000) / pieces]);
}

async function usageOfOne(pid: number, withEnded: boolean): Promise<Usage | undefined> {
  const [ticks, memoryBytes] = await Promise.all([ticksOf(pid), memoryOf(pid)]);
  return ticks && { cpuMs: (ticks.own + (withEnded ? ticks.ofEnded : 0)) * msPerTick, memoryBytes };
}

/** Of a process, and of those of its children that have ended. */
async function ticksOf(pid: number): Promise<{ own: number; ofEnded: number } | undefined> {
  const stat = await read(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The second field is the name in parentheses and may contain spaces; the 14th is user time, then system, then the same of children that ended.
  const [user = 0, system = 0, userOfEnded = 0, systemOfEnded = 0] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 15)
    .map(Number);
  return { own: user + system, ofEnded: userOfEnded + systemOfEnded };
}

/** What it shares with others counts in parts, so that sessions of PostgreSQL can be added up. */
async function memoryOf(pid: number): Promise<number> {
  const proportional = /^Pss: +(\d+) kB/m.exec((await read(`/proc/${pid}/smaps_rollup`)) ?? '')?.[1];
  const resident = /^VmRSS:\s+(\d+) kB/m.exec((await read(`/proc/${pid}/status`)) ?? '')?.[1];
  return Number(proportional ?? resident ?? 0) * 1024;
}

async function childrenOf(parent: number): Promise<number[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name)).map(Number);
  const parents = await Promise.all(pids.map((pid) => read(`/proc/${pid}/stat`)));
  return pids.filter((_, index) => {
    const stat = parents[index];
    return stat !== undefined && Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent;
  });
}

async function read(file: string): Promise<string | undefined> {
  return readFile(file, 'utf8').catch(() => undefined);
}
