// Addresses after the hash: `#/units/nomad-07/request?camera=main`.

/** Patterns of paths, and the names of their views; `:part` takes any part. */
export class Router {
  #routes;

  constructor(routes) {
    this.#routes = Object.entries(routes).map(([pattern, name]) => [pattern.split("/"), name]);
  }

  /** The view of an address, or null when there is none: `{name, params, query}`. */
  find(hash) {
    const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
    const parts = path.split("/").map(decoded);
    for (const [pattern, name] of this.#routes) {
      const params = match(pattern, parts);
      if (params) return { name, params, query: new URLSearchParams(query) };
    }
    return null;
  }
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // an address that somebody typed
  }
}

function match(pattern, parts) {
  if (pattern.length !== parts.length) return null;
  const params = {};
  for (const [index, name] of pattern.entries()) {
    if (name.startsWith(":")) params[name.slice(1)] = parts[index];
    else if (name !== parts[index]) return null;
  }
  return params;
}

/** An address of parts that may hold anything. */
export function link(...parts) {
  return `#/${parts.map(encodeURIComponent).join("/")}`;
}
