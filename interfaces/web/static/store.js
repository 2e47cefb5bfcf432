// A value that many parts of the page look at.
import { useEffect, useState } from "./dom.js";

export function createStore(initial) {
  let value = initial;
  const watchers = new Set();
  return {
    get: () => value,
    /** Replaces the fields named; nobody is told of what did not change. */
    set(changes) {
      if (Object.entries(changes).every(([name, field]) => Object.is(value[name], field))) return;
      value = { ...value, ...changes };
      for (const watcher of [...watchers]) watcher(value);
    },
    watch(watcher) {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
  };
}

export function useStore(store) {
  const [value, setValue] = useState(store.get());
  useEffect(() => {
    setValue(store.get());
    return store.watch(setValue);
  }, [store]);
  return value;
}
