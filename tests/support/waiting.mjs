// Waiting for a condition, with a bound and a message that says what did not come.

/**
 * Polls `probe` until it returns something truthy, and returns that. An error of the probe counts as "not yet".
 *
 * @param {string} what what is waited for, for the failure message
 * @param {() => unknown} probe may be async
 * @param {{within?: number, every?: number}} options milliseconds
 */
export async function eventually(what, probe, { within = 20_000, every = 100 } = {}) {
  const deadline = Date.now() + within;
  let lastError;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (Date.now() > deadline) {
      throw new Error(`not within ${within} ms: ${what}`, lastError ? { cause: lastError } : undefined);
    }
    await pause(every);
  }
}

/** Polls `probe` for `during` milliseconds and fails as soon as it returns something falsy. */
export async function always(what, probe, { during, every = 500 }) {
  const end = Date.now() + during;
  while (Date.now() < end) {
    if (!(await probe())) throw new Error(`did not hold for ${during} ms: ${what}`);
    await pause(every);
  }
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
