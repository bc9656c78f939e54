// Follows a cluster's lines. However many come, the page keeps the last of them.
'use strict';

const KEEP = 3000;
const COLOURS = 8;
const lines = document.getElementById('lines');
const told = document.querySelector('[data-told]');
const button = document.querySelector('[data-follow]');
const components = lines.dataset.components.split('\n');
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, timeZone: 'UTC' });
let events = null;
let waiting = [];
let last = Number(button?.dataset.last ?? 0);

lines.scrollTop = lines.scrollHeight;

function part(name, kind, text, title) {
  const made = document.createElement(name);
  made.className = kind;
  made.textContent = text;
  if (title) made.title = title;
  return made;
}

// As the registry has it in `names.rs`: what would hide or turn others is seen.
function seen(text) {
  return text.replace(/[\0-\x08\x0b-\x1f]/g, (letter) => `^${String.fromCharCode(letter.charCodeAt(0) + 64)}`)
    .replace(/\x7f/g, '^?')
    .replace(/[\x80-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu,
      (letter) => `<U+${letter.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}>`);
}

function row(line) {
  const made = part('div', `line ${line.level}`, '');
  const at = new Date(line.at / 1000);
  const time = part('time', '', clock.format(at), at.toISOString());
  const colour = Math.max(0, components.indexOf(line.component)) % COLOURS;
  const from = line.component ? `${line.component}${line.copy > 0 ? ` ${line.copy}` : ''}` : '';
  made.append(time, part('span', `from c${colour}`, from, `${line.node ?? ''} ${line.stream ?? ''}`), part('span', 'level', line.level), part('span', 'text', seen(line.text)));
  return made;
}

function draw() {
  const fresh = waiting.slice(-KEEP);
  waiting = [];
  const isAtEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 60;
  const rows = document.createDocumentFragment();
  for (const line of fresh) rows.append(row(line));
  lines.append(rows);
  const many = lines.childElementCount - KEEP;
  if (many > 0) {
    const range = document.createRange();
    range.setStart(lines, 0);
    range.setEndBefore(lines.children[many]);
    range.deleteContents();
  }
  document.querySelector('[data-none]')?.remove();
  // Who has scrolled up reads.
  if (isAtEnd) lines.scrollTop = lines.scrollHeight;
}

function stop(why) {
  events?.close();
  events = null;
  button.setAttribute('aria-pressed', 'false');
  told.textContent = why;
}

function follow() {
  const url = new URL(button.dataset.follow, location.href);
  url.searchParams.set('after', last);
  events = new EventSource(url);
  button.setAttribute('aria-pressed', 'true');
  told.textContent = 'Following';
  events.addEventListener('line', (event) => {
    const line = JSON.parse(event.data);
    last = line.id;
    if (waiting.push(line) === 1) requestAnimationFrame(draw);
    if (waiting.length > 2 * KEEP) waiting = waiting.slice(-KEEP);
  });
  events.addEventListener('open', () => { told.textContent = 'Following'; });
  events.addEventListener('error', () => {
    if (events?.readyState === EventSource.CLOSED) stop('Not followed any more: load the page again.');
    else told.textContent = 'The registry does not answer; trying again…';
  });
  lines.scrollTop = lines.scrollHeight;
}

button?.addEventListener('click', () => { if (events) stop('Not followed'); else follow(); });
