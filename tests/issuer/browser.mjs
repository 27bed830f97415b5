// A person before a browser: opens the page that the command line printed, types the code, logs in, and agrees or does not.
//
// browser.mjs URL CODE NAME yes|no

const [, , start, code, name, agrees] = process.argv;
const cookies = new Map();

async function open(url, form) {
  for (;;) {
    const answer = await fetch(url, {
      redirect: "manual",
      method: form ? "POST" : "GET",
      headers: { cookie: [...cookies].map(([key, value]) => `${key}=${value}`).join("; ") },
      body: form && new URLSearchParams(form),
    });
    for (const cookie of answer.headers.getSetCookie()) {
      const [, key, value] = cookie.match(/^([^=]+)=([^;]*)/);
      cookies.set(key, value);
    }
    if (answer.status < 300 || answer.status > 399) {
      return { url, text: await answer.text() };
    }
    url = new URL(answer.headers.get("location"), url).href;
    form = undefined;
  }
}

// What a form sends by itself: where to, and its hidden fields.
function form({ url, text }) {
  const action = text.match(/<form[^>]*action="([^"]*)"/)?.[1];
  const hidden = [...text.matchAll(/<input[^>]*type="hidden"[^>]*>/g)].map(([input]) => [
    input.match(/name="([^"]*)"/)[1],
    input.match(/value="([^"]*)"/)[1],
  ]);
  return { action: new URL(action ?? url, url).href, fields: Object.fromEntries(hidden) };
}

let page = await open(start);
for (let step = 0; step < 8; step += 1) {
  const { action, fields } = form(page);
  if (fields.confirm) {
    const { confirm, ...others } = fields;
    page = await open(action, agrees === "yes" ? { ...others, confirm } : { ...others, abort: "yes" });
    if (agrees !== "yes") {
      break;
    }
  } else if (page.text.includes('name="user_code"')) {
    page = await open(action, { ...fields, user_code: code });
  } else if (page.text.includes('name="login"')) {
    page = await open(action, { ...fields, login: name, password: "any" });
  } else if (fields.prompt === "consent") {
    page = await open(action, fields);
  } else {
    break;
  }
}
const words = page.text.replace(/<style[\s\S]*?<\/style>|<[^>]*>/g, " ").replace(/\s+/g, " ").trim();
console.log(words);
