// Requests that take a while: a command that is answered in lines, and a file that is sent.
import { Problem, TIMEOUT_MS, headersOf, problemOf, silence } from "./api.js";

/** A command that is answered in lines, one JSON document each: `told(line)` is called with all but the last, whose report is given back. */
export async function follow(path, body, told) {
  const options = { method: "POST", headers: headersOf({ "Content-Type": "application/json" }), body: JSON.stringify(body) };
  const quiet = new AbortController();
  let timer = null;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => quiet.abort(new DOMException("", "TimeoutError")), TIMEOUT_MS);
  };
  heard();
  try {
    const answer = await fetch(path, { ...options, signal: quiet.signal });
    if (!answer.ok) throw await problemOf(answer);
    let rest = "";
    const bytes = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let piece = await bytes.read(); !piece.done; piece = await bytes.read()) {
      heard();
      const lines = (rest + piece.value).split("\n");
      rest = lines.pop();
      for (const line of lines.map((one) => JSON.parse(one))) {
        if (line.problem) throw new Problem(line.problem.status, line.problem);
        if (line.report) return line.report;
        told(line);
      }
    }
    throw new TypeError("it broke off");
  } catch (error) {
    throw error instanceof Problem ? error : silence(error);
  } finally {
    clearTimeout(timer);
  }
}

/** Sends a file as it is; `told(share)` is called with how much of it has left, which `fetch` does not tell. */
export function upload(path, file, told) {
  return new Promise((done, fail) => {
    const sending = new XMLHttpRequest();
    sending.open("POST", path);
    for (const [name, value] of Object.entries(headersOf({ "Content-Type": "application/octet-stream" }))) sending.setRequestHeader(name, value);
    sending.upload.onprogress = ({ loaded, total }) => told(total ? loaded / total : 0);
    sending.onerror = () => fail(silence(new TypeError("the connection failed")));
    const answered = async () => {
      const answer = new Response(sending.responseText, { status: sending.status, headers: { "Content-Type": sending.getResponseHeader("Content-Type") || "" } });
      if (!answer.ok) throw await problemOf(answer);
      return answer.json();
    };
    sending.onload = () => answered().then(done, fail);
    sending.send(file);
  });
}
