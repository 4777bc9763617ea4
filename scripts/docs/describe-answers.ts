import { ts } from "../typedoc/index.ts";
import { followImports, noteOf, oneLine } from "./read-source.ts";
import { renderTable } from "./render-table.ts";

/** The types of the server that the client exports, by name: what its procedures answer with. */
export type Answers = ReadonlyMap<string, ts.Declaration>;

/** @param except names that are described elsewhere */
export function readAnswers(
  checker: ts.TypeChecker,
  clientFace: ts.SourceFile,
  except: readonly string[],
): Answers {
  const face = checker.getSymbolAtLocation(clientFace);
  const answers = new Map<string, ts.Declaration>();
  for (const symbol of face === undefined ? [] : checker.getExportsOfModule(face)) {
    const [declaration] = followImports(checker, symbol)?.declarations ?? [];
    const isOfCore = declaration?.getSourceFile().fileName.includes("/packages/core/");
    if (declaration !== undefined && isOfCore && !except.includes(symbol.name)) {
      answers.set(symbol.name, declaration);
    }
  }
  return answers;
}

/**
 * A type as Markdown. The names of answers lead to where they are described.
 * @param page where that is
 */
export function linkType(written: string, answers: Answers, page = ""): string {
  // Code cannot hold a link: what lies between two names is code of its own.
  const parts = oneLine(written).split(new RegExp(`\\b(${[...answers.keys()].join("|")})\\b`));
  const pieces = parts.map((part, index) => {
    if (index % 2 === 1) return `[\`${part}\`](${page}#${part.toLowerCase()})`;
    return part === "" ? "" : part.replace(/^( ?)(.*?)( ?)$/, "$1`$2`$3");
  });
  return pieces.join("");
}

export function describeAnswers(checker: ts.TypeChecker, answers: Answers): string {
  const sections = [...answers].map(([name, declaration]) =>
    [`## ${name}`, noteOf(declaration), describeType(checker, declaration, answers)]
      .filter((part) => part !== "")
      .join("\n\n"),
  );
  return `${sections.join("\n\n")}\n`;
}

function describeType(checker: ts.TypeChecker, declaration: ts.Declaration, answers: Answers): string {
  const type = checker.getTypeAtLocation(declaration);
  if (!ts.isTypeAliasDeclaration(declaration)) return describeFields(checker, type, answers);
  if (type.isUnion() && type.types.every((member) => member.flags & ts.TypeFlags.Object)) {
    return type.types.map((member) => describeFields(checker, member, answers)).join("\n\nor\n\n");
  }
  const flags: ts.TypeFormatFlags = ts.TypeFormatFlags.NoTruncation | ts.TypeFormatFlags.InTypeAlias;
  return linkType(checker.typeToString(type, undefined, flags), answers);
}

function describeFields(checker: ts.TypeChecker, type: ts.Type, answers: Answers): string {
  const rows = checker.getPropertiesOfType(type).map((property) => {
    const declaration = property.valueDeclaration;
    // As it is written where it is declared: the compiler gives some names up for what they stand for.
    const node =
      declaration !== undefined && ts.isPropertySignature(declaration) ? declaration.type : undefined;
    const written =
      node === undefined || node.getText().includes("typeof ")
        ? checker.typeToString(checker.getTypeOfSymbol(property))
        : node.getText();
    const name = property.flags & ts.SymbolFlags.Optional ? `${property.name}?` : property.name;
    return [`\`${name}\``, linkType(written, answers), noteOf(declaration)];
  });
  return renderTable(["field", "type", "meaning"], rows).trimEnd();
}

/** Writes the answer of a procedure down, by its path in the `RouterOutputs` of the client. */
export function createOutputReader(
  checker: ts.TypeChecker,
  clientFace: ts.SourceFile,
  answers: Answers,
): (path: string) => string {
  const face = checker.getSymbolAtLocation(clientFace);
  const outputs = face?.exports?.get(ts.escapeLeadingUnderscores("RouterOutputs"));
  if (outputs === undefined) throw new Error("The client exports no RouterOutputs.");
  return (path) => {
    const answer = path.split(".").reduce((type, name) => {
      const property = type.getProperty(name);
      if (property === undefined) throw new Error(`The client's RouterOutputs have no ${path}.`);
      return checker.getTypeOfSymbol(property);
    }, checker.getDeclaredTypeOfSymbol(outputs));
    const written = writeOutput(checker, answer).replace("Record<string, never>", "{}");
    const unknown = written.match(/\b[A-Z]\w+/g)?.find((name) => !answers.has(name) && name !== "Record");
    if (unknown !== undefined) {
      throw new Error(
        `${path} answers with ${unknown}, which @minimcp/client must export: who calls it names it.`,
      );
    }
    return written;
  };
}

function writeOutput(checker: ts.TypeChecker, type: ts.Type): string {
  if (type.symbol?.name === "AsyncIterable") {
    const [value] = checker.getTypeArguments(type as ts.TypeReference);
    if (value !== undefined) return writeOutput(checker, value);
  }
  // A name of tRPC's, for which what it stands for says more.
  if (type.symbol?.declarations?.[0]?.getSourceFile().fileName.includes("/@trpc/")) {
    const fields = type.getProperties().map((field) => {
      return `${field.name}: ${writeOutput(checker, checker.getTypeOfSymbol(field))}`;
    });
    return `{ ${fields.join("; ")} }`;
  }
  return checker.typeToString(type, undefined, ts.TypeFormatFlags.NoTruncation);
}
