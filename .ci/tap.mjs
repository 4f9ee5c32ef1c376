/**
 * Reads the TAP that ava prints, line by line. Each finished test is handed to onResult as
 * { status: "passed" | "failed" | "skipped", title, diagnostics }, where diagnostics are lines.
 */
export class TapReader {
  #onResult;
  #current;
  #buffer = "";
  /** Whether the plan line came, which ava prints when it reaches its end. */
  isComplete = false;

  constructor(onResult) {
    this.#onResult = onResult;
  }

  write(chunk) {
    const lines = (this.#buffer + chunk).split("\n");
    this.#buffer = lines.pop();
    for (const line of lines) this.#readLine(line);
  }

  end() {
    if (this.#buffer !== "") this.#readLine(this.#buffer);
    this.#buffer = "";
    this.#finish();
  }

  #readLine(line) {
    const test = /^(not ok|ok) \d+ - (.*)$/.exec(line);
    if (test) {
      this.#finish();
      this.#current = start(test[1] === "ok", test[2]);
    } else if (/^\d+\.\.\d+$/.test(line)) {
      this.#finish();
      this.isComplete = true;
    } else if (this.#current && !/^ {2}(---|\.\.\.)$/.test(line) && line !== "" && !this.isComplete) {
      this.#current.diagnostics.push(line.replace(/^( {4}|# {3}|# )/, ""));
    }
  }

  #finish() {
    if (this.#current) this.#onResult(this.#current);
    this.#current = undefined;
  }
}

function start(isOk, text) {
  const isSkipped = isOk && text.endsWith("# SKIP");
  const title = text.replace(/ ?# [A-Z]+$/, "");
  return { status: isSkipped ? "skipped" : isOk ? "passed" : "failed", title, diagnostics: [] };
}
