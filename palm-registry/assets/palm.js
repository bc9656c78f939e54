// Comfort for pages that work without it.
'use strict';

for (const part of document.querySelectorAll('.script-only')) part.hidden = false;

// Instants in the reader's own zone.
const format = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
function localize(within) {
  for (const time of within.querySelectorAll('time[datetime]')) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) {
      time.title = time.textContent;
      time.textContent = format.format(at);
    }
  }
}
localize(document);

// Makes one tree like another, in place: what has the focus keeps it, and what is open stays so.
function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    old.replaceWith(fresh.cloneNode(true));
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  morphInside(old, fresh);
}

function morphInside(old, fresh) {
  const key = (node) => node?.dataset?.key;
  const wanted = new Set([...fresh.children].map(key));
  const known = new Map([...old.children].filter(key).map((child) => [key(child), child]));
  let at = old.firstChild;
  for (const child of fresh.childNodes) {
    const same = known.get(key(child));
    if (same) {
      // What is gone goes before anything is moved: what is moved loses the focus.
      while (at && at !== same && !(key(at) && wanted.has(key(at)))) {
        const next = at.nextSibling;
        at.remove();
        at = next;
      }
      if (same === at) at = at.nextSibling;
      else old.insertBefore(same, at);
      morph(same, child);
    } else if (key(child) || !at || key(at)) {
      old.insertBefore(child.cloneNode(true), at);
    } else {
      const here = at;
      at = at.nextSibling;
      morph(here, child);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

// A part that changes by itself: it is fetched again when the registry says that something is another, or now and then, and not while
// nobody sees it. A page that takes long to make is asked for more seldom.
const live = document.querySelector('[data-part]');
if (live) {
  const told = document.querySelector('[data-connection]');
  const tell = (text) => { if (told.textContent !== text) told.textContent = text; };
  let wanted = false;
  let busy = false;
  const refresh = async () => {
    wanted = true;
    if (busy || document.hidden) return;
    busy = true;
    while (wanted && !document.hidden) {
      wanted = false;
      const begun = performance.now();
      try {
        const answer = await fetch(live.dataset.part, { redirect: 'error' });
        if (answer.ok) {
          const fresh = document.createElement('div');
          fresh.innerHTML = await answer.text();
          localize(fresh);
          morphInside(live, fresh);
          tell('Live');
        } else if (answer.status === 404) {
          tell('It is no more, or you may not see it any more.');
        } else {
          tell('Not live any more: load the page again.');
        }
      } catch {
        tell('The registry does not answer, or you are logged out; trying again…');
      }
      await new Promise((resolve) => setTimeout(resolve, Math.max(500, 4 * (performance.now() - begun))));
    }
    busy = false;
  };
  document.addEventListener('visibilitychange', () => { if (wanted) refresh(); });
  if (live.dataset.events) {
    const events = new EventSource(live.dataset.events);
    events.addEventListener('status', refresh);
    events.addEventListener('error', () => {
      tell(events.readyState === EventSource.CLOSED
        ? 'Not live any more: load the page again.' : 'The registry does not answer; trying again…');
    });
  } else {
    setInterval(refresh, Number(live.dataset.every));
    tell('Live');
  }
}

// Questions in a dialog rather than on a page of their own.
document.addEventListener('click', async (event) => {
  const link = event.target.closest?.('a[data-confirm]');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  let question;
  try {
    const page = await (await fetch(link.href)).text();
    question = new DOMParser().parseFromString(page, 'text/html').querySelector('#question');
  } catch {
    question = null;
  }
  if (!question) {
    location.assign(link.href);
    return;
  }
  const dialog = document.createElement('dialog');
  question.querySelector('h1').id = 'asked';
  dialog.setAttribute('aria-labelledby', 'asked');
  dialog.append(question);
  document.body.append(dialog);
  dialog.addEventListener('close', () => { dialog.remove(); link.focus(); });
  dialog.querySelector('[data-cancel]').addEventListener('click', (clicked) => { clicked.preventDefault(); dialog.close(); });
  dialog.showModal();
  dialog.querySelector('[data-cancel]').focus();
});

// Line numbers beside a text, of the lines that are seen.
for (const editor of document.querySelectorAll('.editor')) {
  const text = editor.querySelector('textarea');
  const height = 20;
  const numbers = document.createElement('div');
  numbers.className = 'numbers';
  numbers.setAttribute('aria-hidden', 'true');
  editor.prepend(numbers);
  const wrong = Number(editor.dataset.line);
  const draw = () => {
    const count = text.value.split('\n').length;
    const first = Math.floor(text.scrollTop / height);
    const last = Math.min(count, first + Math.ceil(text.clientHeight / height) + 1);
    const seen = document.createDocumentFragment();
    for (let index = first; index < last; index += 1) {
      const number = document.createElement('div');
      number.textContent = index + 1;
      number.style.top = `${10 + index * height - text.scrollTop}px`;
      if (index + 1 === wrong) number.className = 'wrong';
      seen.append(number);
    }
    numbers.replaceChildren(seen);
  };
  text.addEventListener('input', draw);
  text.addEventListener('scroll', draw);
  new ResizeObserver(draw).observe(text);
  draw();
  if (wrong > 0) {
    const lines = text.value.split('\n');
    const begin = lines.slice(0, wrong - 1).reduce((sum, line) => sum + line.length + 1, 0);
    text.focus({ preventScroll: true });
    text.setSelectionRange(begin, begin + (lines[wrong - 1] ?? '').length);
    text.scrollTop = Math.max(0, (wrong - 5) * height);
  }
}

for (const file of document.querySelectorAll('[data-into]')) {
  file.addEventListener('change', async () => {
    const text = document.getElementById(file.dataset.into);
    if (file.files[0]) text.value = await file.files[0].text();
    text.dispatchEvent(new Event('input'));
  });
}

for (const button of document.querySelectorAll('[data-copy]')) {
  button.addEventListener('click', async () => {
    const from = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(from.textContent);
      button.textContent = 'Copied';
    } catch {
      getSelection().selectAllChildren(from);
    }
  });
}
