// Requests to the service; every failure is an ApiError with the service's code.

export class ApiError extends Error {
  constructor(code, message, status) {
    super(message);
    this.code = code;
    this.status = status;
  }

  /** The request's field that the service complains of, when its message begins with one. */
  get field() {
    return /^([a-z_]+)(?:\.[a-z_.]+)?[:=]/.exec(this.message)?.[1] ?? null;
  }
}

let onSignedOut = () => undefined;

/** Who is told when the session is over. */
export function whenSignedOut(callback) {
  onSignedOut = callback;
}

async function failure(answer) {
  const body = await answer.json().catch(() => null);
  if (answer.status === 401) onSignedOut();
  const error = body?.error ?? {};
  return new ApiError(error.code ?? "refused", error.message ?? `HTTP ${answer.status}`, answer.status);
}

async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("network", error.message, 0);
  }
  if (!answer.ok) throw await failure(answer);
  return answer;
}

function address(path, query) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

/** GET; the JSON of the answer. */
export async function get(path, query = {}, signal = undefined) {
  return (await request(address(path, query), { signal })).json();
}

/** POST of JSON; the JSON of the answer. */
export async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return (await request(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

/** A path of parts that may hold anything. */
export function at(...parts) {
  return `/v1/${parts.map(encodeURIComponent).join("/")}`;
}
