import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext, type SecureContextOptions, type Server } from "node:tls";
import type { Log } from "../engine/log.js";

/** Paths of PEM files. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** Set: clients must show a certificate of one of these authorities. */
  readonly clientCaFile?: string;
}

/**
 * The certificate of a TLS server, read again when its files change. It looks at their content from time
 * to time, because mounted secrets change by links that no file watcher sees.
 */
export class Certificates {
  readonly #files: TlsFiles;
  readonly #log: Log;
  #current: SecureContextOptions = {};
  #timer: NodeJS.Timeout | undefined;

  constructor(files: TlsFiles, log: Log) {
    this.#files = files;
    this.#log = log;
  }

  /** What the files say now. Throws when they cannot be read or do not belong together. */
  async load(): Promise<SecureContextOptions> {
    const { certFile, keyFile, clientCaFile } = this.#files;
    const [cert, key, ca] = await Promise.all([
      readFile(certFile, "utf8"),
      readFile(keyFile, "utf8"),
      clientCaFile === undefined ? undefined : readFile(clientCaFile, "utf8"),
    ]);
    // A file that is just being written may be empty, which TLS would take for "no certificate".
    if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) {
      throw new Error(`the key in ${keyFile} does not belong to the certificate in ${certFile}`);
    }
    const loaded = { cert, key, ...(ca !== undefined && { ca }) };
    createSecureContext(loaded);
    return (this.#current = loaded);
  }

  /** Keeps the server up to date. Bad new files are logged and the old certificate stays. */
  follow(server: Server, pollMs: number): void {
    this.#timer = setInterval(() => {
      this.#refresh(server).catch((error: unknown) => {
        this.#log.error(
          { err: error, ...this.#files },
          "new certificate files do not work; the old ones stay",
        );
      });
    }, pollMs);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #refresh(server: Server): Promise<void> {
    const { cert, key, ca } = this.#current;
    const loaded = await this.load();
    if (loaded.cert === cert && loaded.key === key && loaded.ca === ca) return;
    server.setSecureContext({ ...loaded, minVersion: "TLSv1.2" });
    this.#log.info({ certFile: this.#files.certFile }, "certificate loaded again");
  }
}
