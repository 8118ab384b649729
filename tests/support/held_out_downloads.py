"""Downloads as each system's own exporter names them, written from the exporters' sources and not from our readers.

Shares no code with `producer.inputs` or `course_corpus`: what one of them gets wrong, the other one shows. Every file
holds a token of its own, so that a part that is lost, doubled or another student's is seen.

*Source*: Moodle: mod/assign/classes/downloader.php and assignsubmission_{file,onlinetext}; clean_param's PARAM_FILE.
Canvas: lib/content_zipper.rb 05e9653c, Attachment.make_unique_filename,
{text_entry,redirect}_page.html.erb. nbgrader: exchange/default/{submit,collect}.py.
GitHub Classroom: gh-classroom, clone/student-repos. The closed systems are in `held_out_closed`.
"""

from __future__ import annotations

import io
import re
import unicodedata
import zipfile
from dataclasses import dataclass, field
from random import Random

STUDENTS = 30
GIVEN = (
    "Ada", "Zoë", "José María", "Anne-Marie", "D'Arcy", "Lì", "Jean_Luc", "Åsa",
    "Özlem", "محمد", "נועה", "李", "Ngọc Ánh",
    "Иван", "X Æ A-12", "Sigrún", "Mary Ann", "J.", "Ελένη", "Bob", "Øystein", "Ada 2", "अनन्या", "O",
)  # fmt: skip
FAMILY = (
    "Byron", "Müller", "de la Cruz", "van_den_Berg", "Ng", "García-López y Fernández", "O'Neill", "Smith_2", "Nguyễn",
    "عبد الله", "Weiß", "St. John", "Smith", "Smith", "12", "Lee Jr.", "Þórsdóttir", "MacDonald (exchange)",
    "Wolfeschlegelsteinhausenbergerdorff" * 2, "Null", "Participant", "LATE", "text", "Øst",
)  # fmt: skip
STEMS = (
    "main", "hw 1", "2024_12_hw", "solution-final (2)", "Übung 3", "LATE_work", "text", "link", "onlinetext", "index",
    "a_7_b", "assignsubmission_file", "LeeBob_7001_assignsubmission_file_x", "timestamp", "week-3", "1_2_3", "تمرين",
    "x_attempt_2026-01-02-03-04-05_y", "a - b - Oct 9, 2026 1148 PM", "submission_metadata", "README", "l" * 120,
)  # fmt: skip
SUFFIXES = (".py", ".java", ".txt", ".md", ".c", ".html", ".R")


@dataclass
class HeldOut:
    """One download: its members, and what each student is to have."""

    layout: str
    members: list[tuple[str, bytes]] = field(default_factory=list)
    expected: dict[str, set[str]] = field(default_factory=dict)
    """Id -> the tokens of their parts; empty for one who is to be a row with a reason."""
    never: set[str] = field(default_factory=set)
    """Words that no prompt may hold."""
    names: dict[str, str] = field(default_factory=dict)
    """Id -> the name as the member says it, where it does."""
    has_flag: bool = True
    """Whether member names are marked as UTF-8; rubyzip 2 and the Finder write them without the mark."""

    def zipped(self) -> bytes:
        """As the system packs it."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in self.members:
                archive.writestr(zipfile.ZipInfo(name), content)
        packed = buffer.getvalue()
        return packed if self.has_flag else _without_mark(packed)

    def repacked(self) -> bytes:
        """Unpacked and packed again by the Finder: one outer folder, decomposed names without a mark, its own files."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in self.members:
                path = unicodedata.normalize("NFD", f"Handed in/{name}")
                archive.writestr(zipfile.ZipInfo(path), content)
                folder, _, base = path.rpartition("/")
                archive.writestr(zipfile.ZipInfo(f"__MACOSX/{folder}/._{base}"), b"Mac OS X")
        return _without_mark(buffer.getvalue())


def _without_mark(packed: bytes) -> bytes:
    """Clear bit 11 of each local and central header: the bytes of the names stay UTF-8."""
    changed = bytearray(packed)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        local = [entry.header_offset for entry in archive.infolist()]
        central = archive.start_dir
    for offset in local:
        changed[offset + 7] &= ~0x08
    while changed[central : central + 4] == b"PK\x01\x02":
        changed[central + 9] &= ~0x08
        sizes = (int.from_bytes(changed[central + at : central + at + 2], "little") for at in (28, 30, 32))
        central += 46 + sum(sizes)
    return bytes(changed)


class Maker:
    def __init__(self, layout: str, seed: int) -> None:
        self.random = Random(f"{layout} {seed}")  # noqa: S311 - names of files
        self.made = HeldOut(layout)
        self._count = 0

    def token(self) -> str:
        self._count += 1
        return f"tk{self._count:04d}{self.random.getrandbits(24):06x}kt"

    def people(self) -> list[tuple[str, str]]:
        """Given and family names; two of them are always the same."""
        found = [(self.random.choice(GIVEN), self.random.choice(FAMILY)) for _ in range(STUDENTS)]
        found[7] = found[3]
        return found

    def file_name(self) -> str:
        return self.random.choice(STEMS) + self.random.choice(SUFFIXES)

    def put(self, path: str, student: str | None, *, html: bool = False, page: str = "") -> None:
        """A file with a token of its own: this student's, or nobody's. A path that is taken already stays as it is."""
        if any(path.casefold() == name.casefold() for name, _ in self.made.members):
            return
        token = self.token()
        text = f"<!DOCTYPE html><html><body><p>{token}</p></body></html>" if html else f"answer = '{token}'\n"
        self.made.members.append((path, (page.replace("TOKEN", token) or text).encode()))
        if student is None:
            self.made.never.add(token)
        else:
            self.made.expected.setdefault(student, set()).add(token)

    def nothing_of(self, student: str) -> None:
        self.made.expected.setdefault(student, set())

    def numbers(self, low: int, high: int) -> list[int]:
        return self.random.sample(range(low, high), STUDENTS)


def _param_file(name: str) -> str:
    """Moodle's clean_param(..., PARAM_FILE), which clean_filename calls."""
    cleaned = re.sub(r"[\x00-\x1f\x7f-\x9f]|[&<>\"`|':\\/]", "", name)
    return "" if cleaned in {".", ".."} else cleaned


@dataclass(frozen=True)
class _MoodleStyle:
    as_folders: bool
    is_old: bool
    """Before 4.1 a folder ended in `_`."""
    outer: str
    online_text: str
    """A string of the interface language."""

    def member(self, head: str, plugin: str, path: str) -> str:
        if not self.as_folders:
            return self.outer + _param_file(f"{head}_assignsubmission_{plugin}_{path.rpartition('/')[2]}")
        folder = _param_file(f"{head}_assignsubmission_{plugin}{'_' if self.is_old else ''}")
        return f"{self.outer}{folder}/{path}"


def moodle(seed: int) -> HeldOut:
    """Folders or flat, with names, blind or by teams, in several interface languages, 4.1 and later or before."""
    maker = Maker("moodle", seed)
    random, made = maker.random, maker.made
    style = _MoodleStyle(
        as_folders=random.random() < 0.6,
        is_old=random.random() < 0.2,
        outer="CS1-Week 3-42/" if random.random() < 0.2 else "",
        online_text=random.choice(("onlinetext.html", "Texteingabe online.html", "texteenligne.html")),
    )
    who = random.choice(("named", "named", "blind", "team"))
    participant = random.choice(("Participant", "Teilnehmer/in", "Participante", "Участник"))
    default_team = random.choice(("Default group", "Standardgruppe", "Groupe par défaut"))
    numbers = maker.numbers(3, 99_999)
    for at, (given, family) in enumerate(maker.people()):
        student = number = str(numbers[at])
        name = participant if who == "blind" else f"{given} {family}"
        if who == "team":
            name = random.choice(("Team {}", "Group_{}", "Gruppe {} (Mo_10)", "{}")).format(at)
        head = _param_file(name.replace("_", " ") + f"_{number}")
        if who == "team" and at == STUDENTS - 1:
            head = student = _param_file(default_team)
        made.names[student] = _param_file(name.replace("_", " ")) if who == "named" else ""
        if at == 5 and style.as_folders:  # only what a reader passes over
            made.members.append((style.member(head, "file", ".gitignore"), b"*.pyc\n"))
            maker.nothing_of(student)
        else:
            _moodle_parts(maker, style, head, student)
    return made


def _moodle_parts(maker: Maker, style: _MoodleStyle, head: str, student: str) -> None:
    random = maker.random
    kind = random.randrange(8)
    if kind in {0, 1}:
        maker.put(style.member(head, "onlinetext", style.online_text), student, html=True)
    if kind == 1 and style.as_folders:
        maker.put(style.member(head, "onlinetext", "notes embedded.txt"), student)
    for _ in range(random.choice((1, 1, 1, 2, 3)) if kind else 0):
        folder = random.choice(("", "", "src/", "a/b/assignsubmission_file/"))
        maker.put(style.member(head, "file", folder + _param_file(maker.file_name())), student)
    if kind == 7:
        maker.put(style.member(head, "codehandin", "extra.py"), student)


_CANVAS_PAGE = """<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
        "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml">
<head>
  <meta http-equiv="Content-Type" content="text/html;charset=utf-8" />{refresh}
  <title>Essay-of-the-class 1: {name}</title>
</head>
<body>
<h1>Essay-of-the-class 1: {name}</h1>
{work}
</body>
</html>
"""
_CANVAS_BOX = '<div style="width: 600px; margin: 20px auto; border: 1px solid #888; padding: 20px;">\n  {}\n</div>'
_CANVAS_REFRESH = '\n  <meta http-equiv="Refresh" content="0; url=https://site.example/TOKEN?a=1&copy=2">'
_CANVAS_LINK = (
    "<p>This submission was a url, we're taking you to the url link now.<br/>\n"
    '<a href="https://site.example/TOKEN?a=1&amp;copy=2">Click Here to go to the submission</a></p>'
)


def canvas(seed: int) -> HeldOut:
    """Uploads, texts and links, late, of students, groups and anonymous ones."""
    maker = Maker("canvas", seed)
    random, made = maker.random, maker.made
    who = random.choice(("named", "named", "anonymous", "group"))
    low = random.choice((100, 40_000, 2_000_000, 72_360_000_000_000_000))
    users, attachment = maker.numbers(low, low * 10), random.choice((5_000, 900_000, 180_000_000))
    made.has_flag = random.random() < 0.5
    for at, (given, family) in enumerate(maker.people()):
        sortable = f"{family}, {given}"
        if who == "group":
            sortable = random.choice(("Project Group {}", "Group_{}", "{}", "Team {} - Monday")).format(at + 1)
        # sanitize_user_name, then get_filename, then sanitize_file_name
        sortable = re.sub(r"_(\d+)_", r"\1", sortable).lower()
        late = "LATE" if random.random() < 0.3 else None
        identity = f"anon_{''.join(random.choices('abcXYZ0189', k=5))}" if who == "anonymous" else str(users[at])
        parts = [None if who == "anonymous" else sortable, late, identity]
        head = "".join(sign for sign in "_".join(filter(None, parts)) if _is_word(sign))
        if who != "anonymous":
            made.names[identity] = head.rsplit("_LATE_" if late else "_", 1)[0]
        kind, name = random.randrange(8), f"{given} {family}"
        if at == 5:
            page = _CANVAS_PAGE.format(refresh="", name=name, work=_CANVAS_BOX.format(""))
            made.members.append((f"{head}_text.html", page.encode()))
            maker.nothing_of(identity)
        elif kind == 0:
            work = _CANVAS_BOX.format("<h1>My work</h1><div>TOKEN</div>")
            maker.put(f"{head}_text.html", identity, page=_CANVAS_PAGE.format(refresh="", name=name, work=work))
        elif kind == 1:
            page = _CANVAS_PAGE.format(refresh=_CANVAS_REFRESH, name=name, work=_CANVAS_LINK)
            maker.put(f"{head}_link.html", identity, page=page)
        else:
            for _ in range(random.choice((1, 1, 2, 4))):
                attachment += random.randrange(1, 40)
                # a file that was downloaded from Canvas and is handed in again, also another student's
                again = random.choice(("", "", "", f"{head}_{attachment - 2000}_", f"bob_LATE_{users[at - 1]}_77_"))
                shown = re.sub(r'[\x00/\\:*?"<>|]+', "_", again + maker.file_name())
                maker.put(f"{head}_{attachment}_{shown}", identity)
    made.never |= {"Essay-of-the-class", "Click Here"}
    return made


def _is_word(sign: str) -> bool:
    """Ruby's [[:word:]]: letters, marks, decimal numbers, connectors."""
    return unicodedata.category(sign)[0] in "LM" or unicodedata.category(sign) in {"Nd", "Pc"}


def github(seed: int) -> HeldOut:
    """Repositories as they are cloned; one without any file."""
    maker = Maker("github", seed)
    random, made = maker.random, maker.made
    slug = random.choice(("week-3", "hw1", "final-project-submissions", "a"))
    for at in range(STUDENTS):
        user = random.choice(("ada-{}", "week-3-{}", "{}x", "a-b-c-{}", "Bob{}")).format(at)
        folder = f"{slug}-submissions/{slug}-{user}"
        made.members += [(f"{folder}/.git/config", b"[core]"), (f"{folder}/.github/classroom/autograding.json", b"{}")]
        if at == 13:
            maker.nothing_of(user)
            continue
        for _ in range(random.choice((1, 2, 5))):
            maker.put(f"{folder}/{random.choice(('', 'src/', 'submitted/ps1/'))}{maker.file_name()}", user)
    made.never |= {"[core]", "autograding"}
    return made


def nbgrader(seed: int) -> HeldOut:
    """The exchange's inbound folder or the course's tree, with the secret that each submission carries."""
    maker = Maker("nbgrader", seed)
    random, made = maker.random, maker.made
    is_inbound, has_random = random.random() < 0.5, random.random() < 0.8
    for at in range(STUDENTS):
        user = random.choice(("stu{}", "ada.b-{}", "x_{}@uni.example", "9{}", "ünal{}")).format(at)
        if is_inbound and at % 10 == 3:
            user = f"ada+cs{at}"
        days = sorted(random.sample(range(1, 9), random.choice((1, 1, 2, 3) if is_inbound else (1,))))
        for day in days:
            student = user if day == days[-1] else None
            stamp = f"2026-10-0{day} 1{day}:00:00.123456 UTC"
            end = f"+{''.join(random.choices('aZ-_09', k=12))}" if has_random else ""
            head = f"{user}+ps1+{stamp}{end}" if is_inbound else f"course/submitted/{user}/ps1"
            for name in ("problem1", "problem 2")[: random.choice((1, 2))]:
                token = maker.token()
                (made.expected.setdefault(user, set()) if student else made.never).add(token)
                cell = f'{{"cell_type": "markdown", "metadata": {{}}, "source": ["{token}"]}}'
                text = f'{{"cells": [{cell}], "metadata": {{}}, "nbformat": 4, "nbformat_minor": 2}}'
                made.members.append((f"{head}/{name}.ipynb", text.encode()))
            maker.put(f"{head}/data/{maker.file_name()}", student)
            made.members += [(f"{head}/timestamp.txt", stamp.encode()), (f"{head}/submission_secret.txt", b"s3cr3t")]
    if not is_inbound:
        for folder in ("source/ps1", "release/ps1", f"autograded/{next(iter(made.expected))}/ps1"):
            maker.put(f"course/{folder}/problem1.txt", None)
        made.members.append(("course/gradebook.db", b"SQLite format 3\x00"))
    made.never.add("s3cr3t")
    return made


OPEN_SYSTEMS = {"moodle": moodle, "canvas": canvas, "github": github, "nbgrader": nbgrader}
