// Splits SQL into statements, by SQLite's own rule (`sqlite3_complete`): a semicolon ends one, unless it is within quotes,
// a comment, or the body of a trigger. A trigger's body ends with `; END;`.

const TOKEN =
  /(\s+|--[^\n]*|\/\*[^]*?(?:\*\/|$))|'[^']*'?|"[^"]*"?|`[^`]*`?|\[[^\]]*\]?|[\p{L}\p{N}_$]+|[^]/uy;
const TRIGGER = /^(?:explain )?create (?:temp |temporary )?trigger /i;

/** Its statements in their order, without those that are empty. */
export function statementsOf(sql) {
  const statements = [];
  let from = 0;
  // The first words, which say whether it is a trigger, and the last two tokens.
  let head = "";
  let last = ["", ""];
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(sql); match !== null; match = TOKEN.exec(sql)) {
    const [token, blank] = match;
    if (blank !== undefined) continue;
    if (token === ";" && isWhole(head, last)) {
      if (head !== "") statements.push(sql.slice(from, TOKEN.lastIndex));
      from = TOKEN.lastIndex;
      head = "";
      last = ["", ""];
    } else {
      if (head.length < 100) head += `${token} `;
      last = [last[1], token];
    }
  }
  if (head !== "") statements.push(sql.slice(from));
  return statements;
}

function isWhole(head, [before, token]) {
  return !TRIGGER.test(head) || (before === ";" && /^end$/i.test(token));
}
