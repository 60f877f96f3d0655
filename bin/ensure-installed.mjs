// Run before `npm start` and `npm test`: installs the packages when they are missing or not those of
// package-lock.json. Plain JavaScript without packages, for the Node 20 or newer that npm runs on.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const modules = path.join(root, 'node_modules');
const lock = path.join(root, '.data', 'install.lock');
const ownNode = path.join(modules, '.bin', process.platform === 'win32' ? 'node.cmd' : 'node');

if (!isCurrent()) {
  await takeLock();
  try {
    // Another process may have installed everything while we waited for it.
    if (!isCurrent()) process.exitCode = await install();
  } finally {
    rmSync(lock, { force: true });
  }
}

// npm writes its hidden lockfile last, so an interrupted installation has none and is not current.
function isCurrent() {
  const wanted = packagesOf(path.join(root, 'package-lock.json'));
  const installed = packagesOf(path.join(modules, '.package-lock.json'));
  if (!wanted) throw new Error('package-lock.json is missing or broken: this is not a whole copy of the repository.');
  if (!installed || !existsSync(ownNode)) return false;
  const same = (one, other) => one?.version === other?.version && one?.integrity === other?.integrity;
  // A package may be absent when it is for other machines only; one that is there must be the right one.
  for (const [name, { optional, devOptional, peer }] of Object.entries(wanted)) {
    if (!name.includes('node_modules/')) continue;
    if (!installed[name] && !optional && !devOptional && !peer) return false;
    if (installed[name] && !same(installed[name], wanted[name])) return false;
  }
  if (Object.keys(installed).some((name) => name.includes('node_modules/') && !wanted[name])) return false;
  // Installed with --ignore-scripts, this program is not there although its package is.
  return spawnSync(ownNode, ['--version'], { shell: process.platform === 'win32' }).status === 0;
}

function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

// `npm start` and `npm test` at the same time must not both empty node_modules.
async function takeLock() {
  mkdirSync(path.dirname(lock), { recursive: true });
  for (let waited = false; ; waited = true) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' });
      return;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const owner = readOwner();
    if (owner !== undefined && !isAlive(owner)) {
      rmSync(lock, { force: true }); // left by a process that was killed
      continue;
    }
    if (!waited) console.log('prequal: Another process is installing the packages; waiting for it.');
    await delay(200);
  }
}

// undefined: just being written, or just removed.
function readOwner() {
  try {
    return Number(readFileSync(lock, 'utf8')) || undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    // A killed process that nobody reaps (usual in containers) keeps its id for ever.
    return !(existsSync('/proc/self/stat') && /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')));
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function install() {
  console.log('prequal: Installing the packages. This happens once and takes up to a few minutes.');
  const startedAt = performance.now();
  // npm must not run on the Node inside the folder that it is about to empty.
  const ownBin = path.join(modules, '.bin');
  const PATH = (process.env.PATH ?? '')
    .split(path.delimiter)
    .filter((folder) => path.resolve(folder) !== ownBin)
    .join(path.delimiter);
  const child = spawn('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    env: { ...process.env, PATH },
    stdio: 'inherit',
    shell: process.platform === 'win32',
  });
  return new Promise((resolve) => {
    child.once('error', (error) => {
      console.error(`prequal: npm could not be run: ${error.message}`);
      resolve(1);
    });
    child.once('exit', (code) => {
      if (code === 0)
        console.log(`prequal: The packages are installed (${Math.round((performance.now() - startedAt) / 1000)} s).`);
      else
        console.error(
          'prequal: "npm ci" failed; the reason is above. Without a network the packages cannot be fetched.',
        );
      resolve(code ?? 1);
    });
  });
}
