/** The form of an output: its width and its colours. */
export interface OutputForm {
  /** Columns of the terminal. `Infinity` for the full form: all columns, nothing cut or folded. */
  readonly columns: number;
  readonly isColoured: boolean;
  /** The messages of the session stand on the same terminal, with their texts. */
  readonly hasMessages?: boolean;
}

/** All columns, without colours: the form for scripts. */
export const FULL_FORM: OutputForm = { columns: Infinity, isColoured: false };

/** For terminals that do not tell their width. */
const DEFAULT_COLUMNS = 80;

type Environment = Readonly<Record<string, string | undefined>>;
type Stream = Pick<NodeJS.WriteStream, 'isTTY' | 'columns'>;

/**
 * True when a stream gets colours. NO_COLOR and `TERM=dumb` forbid them, FORCE_COLOR demands them;
 * otherwise a terminal gets them. `node:util` decides differently in Node 20 and 24.
 */
export function hasColours(stream: Pick<Stream, 'isTTY'>, environment: Environment): boolean {
  const { NO_COLOR, FORCE_COLOR, TERM } = environment;
  if (NO_COLOR || TERM === 'dumb') return false;
  if (FORCE_COLOR) return FORCE_COLOR !== '0' && FORCE_COLOR !== 'false';
  return stream.isTTY;
}

/** Columns of a terminal. Some do not tell their width. */
export function columnsOf(stream: Pick<Stream, 'columns'>): number {
  return stream.columns || DEFAULT_COLUMNS;
}

/** The form of stdout. Without a terminal, and with `--wide`, it is the full form. */
export function formOf(
  flags: { readonly wide?: boolean | undefined },
  stream: Stream = process.stdout,
  environment: Environment = process.env,
  messages: Pick<Stream, 'isTTY'> = process.stderr,
): OutputForm {
  const isFull = flags.wide === true || !stream.isTTY;
  return {
    columns: isFull ? Infinity : columnsOf(stream),
    isColoured: hasColours(stream, environment),
    hasMessages: !isFull && messages.isTTY,
  };
}

/** True for the form with all columns. */
export function isFull({ columns }: OutputForm): boolean {
  return columns === Infinity;
}

const SHORT_ID_CHARS = 8;

/** An id as the form shows it: whole, or its beginning, which `short` may have longer. */
export function idIn(form: OutputForm, id: string, short?: ReadonlyMap<string, string>): string {
  return isFull(form) ? id : (short?.get(id) ?? id.slice(0, SHORT_ID_CHARS));
}

const STYLES = { bold: [1, 22], red: [31, 39], green: [32, 39], yellow: [33, 39] } as const;
export type Style = keyof typeof STYLES;

export function paint(text: string, style: Style | undefined, isColoured: boolean): string {
  if (!isColoured || style === undefined || text === '') return text;
  const [start, end] = STYLES[style];
  return `\u001B[${start}m${text}\u001B[${end}m`;
}
