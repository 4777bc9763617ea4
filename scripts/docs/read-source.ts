import { ts } from "../typedoc/index.ts";

/** One place where the server says no. */
export interface Refusal {
  reason: string;
  /** Of the error: it stands for an HTTP status, unless tRPC's code does. */
  kind: string;
  code: string | undefined;
  /** What it says, `…` for what differs from call to call. */
  sentences: readonly string[];
}

/** The declaration that a name in the source leads to, through imports, when it is of the tree's own. */
export function declarationOf(checker: ts.TypeChecker, name: ts.Node): ts.Declaration | undefined {
  const [declaration] = followImports(checker, checker.getSymbolAtLocation(name))?.declarations ?? [];
  return declaration?.getSourceFile().fileName.includes("/node_modules/") ? undefined : declaration;
}

export function followImports(checker: ts.TypeChecker, symbol: ts.Symbol | undefined): ts.Symbol | undefined {
  return symbol && symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
}

/** The expression that a name stands for, without `satisfies` and `as`. */
export function valueOf(checker: ts.TypeChecker, expression: ts.Expression): ts.Expression {
  if (ts.isSatisfiesExpression(expression) || ts.isAsExpression(expression)) {
    return valueOf(checker, expression.expression);
  }
  if (!ts.isIdentifier(expression)) return expression;
  const declaration = declarationOf(checker, expression);
  const isValue = declaration !== undefined && ts.isVariableDeclaration(declaration);
  return isValue && declaration.initializer !== undefined
    ? valueOf(checker, declaration.initializer)
    : expression;
}

/** The value of a property in an object literal, `{ name }` as well as `{ name: value }`. */
export function* propertiesOf(
  checker: ts.TypeChecker,
  literal: ts.ObjectLiteralExpression,
): Generator<{ name: string; value: ts.Expression; property: ts.ObjectLiteralElementLike }> {
  for (const property of literal.properties) {
    if (ts.isPropertyAssignment(property)) {
      const value = valueOf(checker, property.initializer);
      yield { name: property.name.getText(), value, property };
    } else if (ts.isShorthandPropertyAssignment(property)) {
      const symbol = checker.getShorthandAssignmentValueSymbol(property);
      const declaration = followImports(checker, symbol)?.valueDeclaration;
      if (declaration !== undefined && ts.isVariableDeclaration(declaration) && declaration.initializer) {
        yield { name: property.name.text, value: valueOf(checker, declaration.initializer), property };
      }
    }
  }
}

/** What a docstring says before its tags, as one line. */
export function noteOf(declaration: ts.Node | undefined): string {
  const [comment] =
    declaration === undefined ? [] : ts.getJSDocCommentsAndTags(declaration).filter(ts.isJSDoc);
  return oneLine(ts.getTextOfJSDocComment(comment?.comment) ?? "");
}

export function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ").trim();
}

/**
 * What a function can say no with: what it and the functions it calls throw, and what the docstrings promise of those
 * whose code the call does not lead to.
 */
export function findReasons(checker: ts.TypeChecker, start: ts.Node): ReadonlySet<string> {
  const reasons = new Set<string>();
  const seen = new Set<ts.Node>();
  const visit = (node: ts.Node): void => {
    if (ts.isNewExpression(node)) {
      for (const { reason } of readRefusal(checker, node)) reasons.add(reason);
    }
    if (ts.isCallExpression(node)) enter(declarationOf(checker, calleeOf(node)));
    // What is handed on to be called, or kept in a variable.
    else if (ts.isIdentifier(node) && !ts.isPropertyAccessExpression(node.parent)) {
      const declaration = declarationOf(checker, node);
      if (declaration !== undefined && ts.isFunctionLike(declaration)) enter(declaration);
    }
    ts.forEachChild(node, visit);
  };
  const enter = (declaration: ts.Node | undefined): void => {
    if (declaration === undefined || seen.has(declaration)) return;
    seen.add(declaration);
    for (const tag of ts.getJSDocTags(declaration)) {
      if (tag.tagName.text !== "throws") continue;
      for (const reason of readReasons(tag.getText())) reasons.add(reason);
    }
    ts.forEachChild(declaration, visit);
  };
  enter(start);
  return reasons;
}

/** Everything that a source file says no with: errors that it makes, and answers that it writes down as records. */
export function refusalsIn(checker: ts.TypeChecker, source: ts.SourceFile): Refusal[] {
  const found: Refusal[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isNewExpression(node)) found.push(...readRefusal(checker, node));
    if (ts.isObjectLiteralExpression(node)) {
      const fields = new Map([...propertiesOf(checker, node)].map(({ name, value }) => [name, value]));
      const [kind, reason, message] = [fields.get("kind"), fields.get("reason"), fields.get("message")];
      if (kind && reason && message && ts.isStringLiteral(kind) && ts.isStringLiteral(reason)) {
        found.push({
          kind: kind.text,
          code: caseAround(node),
          reason: reason.text,
          sentences: readSentences(message),
        });
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function calleeOf({ expression }: ts.CallExpression): ts.Node {
  return ts.isPropertyAccessExpression(expression) ? expression.name : expression;
}

function readReasons(text: string): string[] {
  return [...text.matchAll(/`([a-z]+(?:[A-Z][a-z]+)*\.[a-zA-Z]+)`/g)].map(([, reason = ""]) => reason);
}

/** `new Conflict("apiKey.labelTaken", "…")`: its class has the kind. */
function readRefusal(checker: ts.TypeChecker, { expression, arguments: args }: ts.NewExpression): Refusal[] {
  const [reason, sentence] = args ?? [];
  if (reason === undefined || sentence === undefined || !ts.isStringLiteral(reason)) return [];
  const errorClass = declarationOf(checker, expression);
  if (errorClass === undefined || !ts.isClassDeclaration(errorClass)) return [];
  const kind = errorClass.members
    .filter(ts.isPropertyDeclaration)
    .find(({ name }) => name.getText() === "kind")?.initializer;
  if (kind === undefined || !ts.isStringLiteral(kind)) return [];
  return [{ kind: kind.text, code: undefined, reason: reason.text, sentences: readSentences(sentence) }];
}

/** The string of the `case` that a node stands in. */
function caseAround(node: ts.Node): string | undefined {
  if (ts.isFunctionLike(node) || ts.isSourceFile(node)) return undefined;
  if (ts.isCaseClause(node) && ts.isStringLiteral(node.expression)) return node.expression.text;
  return caseAround(node.parent);
}

function readSentences(node: ts.Expression): string[] {
  if (ts.isConditionalExpression(node)) {
    return [...readSentences(node.whenTrue), ...readSentences(node.whenFalse)];
  }
  if (ts.isStringLiteralLike(node)) return [node.text];
  if (!ts.isTemplateExpression(node)) return [];
  return [node.head.text + node.templateSpans.map(({ literal }) => `…${literal.text}`).join("")];
}
