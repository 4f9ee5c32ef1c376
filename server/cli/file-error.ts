const TEXTS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  ENOTDIR: "a part of its path is not a directory",
  EISDIR: "it is a directory",
  EACCES: "this user may not read it",
  EPERM: "this user may not read it",
  ENOSPC: "no space is left on the device",
  EDQUOT: "the quota is used up",
  EIO: "the device does not work",
};

/** Why the system refuses a file, in words instead of its code, its call and the path once more. */
export function fileErrorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code = "" } = error as NodeJS.ErrnoException;
  return TEXTS[code] ?? error.message;
}
