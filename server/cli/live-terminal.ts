const HIDE_CURSOR = "\u001b[?25l";
const SHOW_CURSOR = "\u001b[?25h";
const CLEAR_LINE_END = "\u001b[K";
const CLEAR_BELOW = "\u001b[J";

/** Lines at the end of a terminal that are drawn over again in place. */
export class LiveTerminal {
  readonly #stream: NodeJS.WriteStream;
  #drawn = 0;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    stream.write(HIDE_CURSOR);
    // An interrupt may end the process at any moment; a terminal without cursor would stay behind.
    process.on("exit", this.#showCursor);
  }

  /** Room for lines: one less than the terminal has, because the cursor stands below them. */
  get size(): { width: number; height: number } {
    return { width: this.#stream.columns, height: this.#stream.rows - 1 };
  }

  /** Replaces the lines. None may be wider than the terminal. One write, so that nothing flickers. */
  draw(lines: readonly string[]): void {
    const up = this.#drawn > 0 ? `\u001b[${this.#drawn}A` : "";
    this.#stream.write(`\r${up}${lines.map((line) => `${line}${CLEAR_LINE_END}\n`).join("")}${CLEAR_BELOW}`);
    this.#drawn = lines.length;
  }

  close(): void {
    process.off("exit", this.#showCursor);
    this.#showCursor();
  }

  readonly #showCursor = (): void => {
    this.#stream.write(SHOW_CURSOR);
  };
}
