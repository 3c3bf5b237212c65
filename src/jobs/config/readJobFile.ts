/** Reads and checks a job file. */
import path from 'node:path';
import { type Document, LineCounter, parseDocument, type YAMLError } from 'yaml';
import { readUserFile } from '../../store/userFile.ts';
import type { JobFile } from '../jobFile.ts';
import { findingsIn } from './correctedKeys.ts';
import { jobFileSchema } from './jobFileSchema.ts';
import { deepNesting } from './nesting.ts';
import { type KeyPath, type Position, positionOf } from './positions.ts';
import { type Finding, JobFileError, type JobFileProblem, problemAt } from './problems.ts';
import { nameFindings } from './references.ts';
import { resolveJobFile } from './resolveJobFile.ts';

const MAX_FILE_BYTES = 1024 * 1024;

/** Errors of YAML that administrators make, in other words. */
const YAML_ERRORS: Readonly<Partial<Record<YAMLError['code'], readonly [string, string]>>> = {
  BAD_ALIAS: ['a value begins with * and names no anchor', "put it in quotes: '*/15 * * * *'"],
  TAB_AS_INDENT: ['a tab is used as indentation', 'use spaces'],
  DUPLICATE_KEY: ['the key is written twice', 'delete one of the two'],
  MULTIPLE_DOCS: ['a second document begins', 'delete the line "---"'],
  TAG_RESOLVE_FAILED: ['a value begins with ! and is read as a tag', 'put it in quotes'],
};

/** Texts of the parser may span lines and show the source; the first line does neither. */
function yamlProblem({ code, message, pos }: YAMLError, lines: LineCounter): JobFileProblem {
  const { line, col } = lines.linePos(pos[0]);
  const isAlias = message.includes('alias');
  const [what, advice] = YAML_ERRORS[isAlias ? 'BAD_ALIAS' : code] ?? [
    `is no YAML: ${message.split('\n')[0]}`,
    'check quotes, colons and indentation around this line',
  ];
  return { line, column: col, key: '', what, advice };
}

/** The parser finds more errors in the rest of a line. They mislead. */
function isFirstOfLine(
  problem: JobFileProblem,
  index: number,
  all: readonly JobFileProblem[],
): boolean {
  return all.findIndex(({ line }) => line === problem.line) === index;
}

/** The values of a document. Aliases that grow without end are refused. */
function valuesOf(document: Document): { readonly raw: unknown; readonly findings: Finding[] } {
  try {
    return { raw: document.toJS(), findings: [] };
  } catch {
    const advice = 'write the values where they are used';
    return { raw: {}, findings: [{ path: [], what: 'has too many aliases (*)', advice }] };
  }
}

/** A job file, and where its keys are. */
export interface LoadedJobFile {
  readonly file: JobFile;
  readonly locate: (path: KeyPath) => Position;
}

/**
 * Checks the text of a job file.
 *
 * @param file - absolute path: paths in the text are relative to its folder.
 * @throws {@link JobFileError} with all problems
 */
export function parseJobFile(text: string, file: string): LoadedJobFile {
  const deep = deepNesting(text);
  if (deep) {
    const advice = 'write it flat: a job file needs few levels';
    throw new JobFileError(file, [{ ...deep, key: '', what: 'is nested too deeply', advice }]);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const faults = [...document.errors, ...document.warnings].map((one) => yamlProblem(one, lines));
  if (faults.length > 0) throw new JobFileError(file, faults.filter(isFirstOfLine));
  const { raw, findings } = valuesOf(document);
  if (findings.length === 0) findings.push(...findingsIn(jobFileSchema, raw, nameFindings));
  if (findings.length === 0) {
    const locate = (path: KeyPath): Position => positionOf(document, lines, path);
    return { file: resolveJobFile(jobFileSchema.parse(raw), file), locate };
  }
  const problems = findings.map((finding) =>
    problemAt(positionOf(document, lines, finding.path, finding.isKey), finding),
  );
  throw new JobFileError(
    file,
    problems.toSorted((a, b) => a.line - b.line || a.column - b.column),
  );
}

/** As {@link readJobFile}, with the places of the keys. */
export async function loadJobFile(file: string, signal?: AbortSignal): Promise<LoadedJobFile> {
  const absolute = path.resolve(file);
  const text = await readUserFile(absolute, 'job file', MAX_FILE_BYTES, signal);
  return parseJobFile(text, absolute);
}

/**
 * Reads a job file. Files that it names are not looked at: `checkFiles` does that.
 *
 * @throws {@link UsageError} `USAGE_JOB_FILE` with all problems at once, each with its line and
 *   column; `USAGE_INVALID_OPTION` when the file cannot be read
 */
export async function readJobFile(file: string, signal?: AbortSignal): Promise<JobFile> {
  return (await loadJobFile(file, signal)).file;
}
