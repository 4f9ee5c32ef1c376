import { mkdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const POLL_MS = 200;
/** Writing a pid and taking a lock over are a few file operations; what is older was cut off. */
const CUT_OFF_MS = 10_000;

/**
 * Runs an action while this process alone holds the lock file, which contains the holder's pid.
 * The lock of a process that is gone is taken over.
 */
export async function withLock(path, action) {
  mkdirSync(dirname(path), { recursive: true });
  let announced = false;
  while (!tryCreate(path)) {
    if (isAbandoned(path)) {
      takeOver(path);
      continue;
    }
    const holder = readHolder(path);
    if (!announced && holder !== undefined) {
      process.stderr.write(`Waiting for process ${holder}, which holds ${path}.\n`);
      announced = true;
    }
    await sleep(POLL_MS);
  }
  const release = () => rmSync(path, { force: true });
  process.once("exit", release);
  try {
    return await action();
  } finally {
    process.off("exit", release);
    release();
  }
}

function tryCreate(path) {
  try {
    writeFileSync(path, `${process.pid}\n`, { flag: "wx" });
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}

function isAbandoned(path) {
  const holder = readHolder(path);
  return holder === undefined ? isCutOff(path) : !isAlive(holder);
}

function isCutOff(path) {
  const since = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
  return Date.now() - since > CUT_OFF_MS;
}

/** The pid in the lock, or undefined while its holder is writing or removing it. */
function readHolder(path) {
  try {
    const pid = Number.parseInt(readFileSync(path, "utf8"), 10);
    return Number.isInteger(pid) ? pid : undefined;
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** Two that find the same dead lock must not remove each other's new one: a folder admits one of them. */
function takeOver(path) {
  const gate = `${path}.takeover`;
  try {
    mkdirSync(gate);
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
    if (isCutOff(gate)) rmSync(gate, { recursive: true, force: true });
    return;
  }
  if (isAbandoned(path)) rmSync(path, { force: true });
  rmdirSync(gate);
}
