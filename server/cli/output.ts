import { toJsonString, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import type { Command } from "commander";
import type { Cli } from "./cli.js";
import type { GlobalOptions } from "./global-options.js";
import { createStyle, wantsColor, type Style } from "./style.js";
import { factLines, tableLines, type TableLayout } from "./table.js";

/** Where a command writes its result: for people, or as JSON. */
export class Output {
  readonly json: boolean;
  readonly style: Style;
  readonly #stream: NodeJS.WriteStream;

  constructor(stream: NodeJS.WriteStream, options: { json: boolean; style: Style }) {
    this.#stream = stream;
    this.json = options.json;
    this.style = options.style;
  }

  /** Columns of the terminal; Infinity where the output is not a terminal, so that nothing is cut. */
  get width(): number {
    return this.#stream.isTTY ? this.#stream.columns : Number.POSITIVE_INFINITY;
  }

  line(text = ""): void {
    this.#stream.write(`${text}\n`);
  }

  table(head: readonly string[], rows: ReadonlyArray<readonly string[]>, layout: TableLayout = {}): void {
    const { width, style } = this;
    for (const line of tableLines(head, rows, { width, style, layout })) this.line(line);
  }

  facts(facts: ReadonlyArray<readonly [string, string]>): void {
    for (const line of factLines(facts, this.style)) this.line(line);
  }

  /** The proto JSON form, with every field whose absence would mean the same as its default. */
  message<M extends DescMessage>(schema: M, message: MessageShape<M>): void {
    this.line(toJsonString(schema, message, { alwaysEmitImplicit: true, prettySpaces: 2 }));
  }

  /** As `message`, on one line: an element of a stream of JSON lines. */
  messageLine<M extends DescMessage>(schema: M, message: MessageShape<M>): void {
    this.line(toJsonString(schema, message, { alwaysEmitImplicit: true }));
  }

  bytes(data: Uint8Array): void {
    this.#stream.write(data);
  }
}

/** The output of any command, following --json and --no-color. */
export function createOutput(cli: Cli, command: Command): Output {
  const { json = false, color } = command.optsWithGlobals<GlobalOptions>();
  const style = createStyle(!json && wantsColor(cli.stdout, cli.env, color === false));
  return new Output(cli.stdout, { json, style });
}
