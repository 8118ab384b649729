"""The page that makes a batch: upload, say how to grade, see the first prompt, go."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from producer.inputs.templates import Template, keep_template
from producer.inputs.work_columns import work_columns
from producer.local.known_work import find_known_work
from producer.page.another_order import refuse_another_order
from producer.page.asked_form import asked_texts, chosen_kit_and_account
from producer.page.batch_list import ENQUEUED
from producer.page.joining import Joining, joins
from producer.page.kept import forget_last_kit
from producer.page.model_field import asked_model
from producer.page.names import ask_identity, tell_names
from producer.page.order import Order
from producer.page.plain_text import plain
from producer.page.problem import say
from producer.page.scheme_form import asked_scheme
from producer.page.services import client, payer, payer_client, settings
from producer.page.spending import Limits, ask_limits, show_estimate
from producer.page.understood import show_first_prompt
from producer.page.upload_form import MOST_PROBLEMS, TYPED_NAME, read_the_rest, tell, uploaded
from producer.page.uploads import Upload, build_specs_of
from producer.page.who import may_own
from producer.page.words import added, result_kind
from producer.terminal.words import counted
from workers.contract.errors import GradequeueError, InvalidInput
from workers.contract.identity import IdentityRule
from workers.contract.job import JobParameters, JobSpec, QueueName
from workers.contract.model_parameters import ChoiceCheck, output_limit
from workers.contract.model_profile import VERBOSITIES, load_profiles
from workers.contract.origin import PARTS, UPLOADED, BatchOrigin
from workers.contract.schemes.fence import Fence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producer.batch import BatchOverview
    from producer.inputs.kits.kit import Kit
    from producer.local.known_work import KnownWork
    from workers.contract.model_profile import ModelProfile, ModelProfiles
    from workers.contract.schemes.scheme import GradingScheme

MOST_STEM = 60
"""Characters of the upload's name in the batch's."""


def show() -> None:
    """Draw the page."""
    st.title("Grade submissions", anchor=False)
    if settings().offline:
        st.badge("stand-in provider: grades will be test data", color="violet", icon=":material/science:")
    if not may_own():
        st.info("Grading spends money and needs the role of the owner. You can review what was graded: see Batches.")
        return
    upload = uploaded()
    if upload is None:
        st.caption(
            "Upload single files, a ZIP with one file or folder per student, or a CSV with a column id. "
            "Nothing is graded before you have seen the first prompt."
        )
        return
    above, below = st.container(), st.container()
    order = None
    try:
        with below:
            order = _order(upload)
    except InvalidInput as problem:
        say(problem)
    with above:  # who is left out depends on the model, which is chosen below
        tell(upload if order is None else upload.for_the_model(order.defaults(_fence_of_the_page())))
    if order is not None:
        _preview_and_go(upload, order)


def _order(upload: Upload) -> Order | None:
    registry = client().registry
    names = list(registry.names())
    kit = chosen_kit_and_account(upload.columns)
    first, second = st.columns(2)
    schema = first.selectbox(
        "Kind of result", names, index=names.index(kit.schema) if kit.schema in names else 0,
        key=f"schema {kit.name}".strip(), format_func=lambda name: result_kind(name, registry),
    )  # fmt: skip
    with second:
        model = asked_model(kit)
    scheme = asked_scheme(schema, kit) if schema and registry.needs_context(schema) else None
    if schema and registry.needs_context(schema) and scheme is None:
        return None
    suggested = _suggested_template(upload, scheme, kit)
    written = st.text_area(
        "Instructions", value=suggested, key=f"template {hash(suggested)}", height=140,
        help="Placeholders in braces are filled in for each student; any column of your upload is one.",
    )  # fmt: skip
    work = work_columns(upload.columns)  # the others say whose it is, which no prompt needs
    st.caption(plain(f"Placeholders: {', '.join(f'{{{column}}}' for column in upload.columns if column in work)}"))
    given = asked_texts(kit)
    parameters = _parameters(load_profiles(settings().model_profiles).find(model, payer().provider_host), kit)
    identity = ask_identity()
    if not model:
        st.info("Choose the model, or type its name.")
        return None
    template = Template.parse(written or "", name="template")
    return Order(
        schema=schema or "",
        model=model,
        template=template,
        bound=template.bind(upload.columns, given=given),
        given=given,
        scheme=scheme,
        parameters=parameters,
        choices=ChoiceCheck(partial(_profile_of, load_profiles(settings().model_profiles), payer().provider_host)),
        identity=identity,
        roster=kit.options.get("roster"),  # type: ignore[arg-type] # a path by `load_kit`
    )


def _profile_of(profiles: ModelProfiles, host: str, model: str) -> ModelProfile:
    return profiles.find(model, host)


def _suggested_template(upload: Upload, scheme: GradingScheme | None, kit: Kit) -> str:
    if kit.template is not None:
        return kit.template.text
    usual = [name for name in ("submission", "code", "text", "answer", "prompt") if name in upload.columns]
    work = work_columns(upload.columns)
    column = next(iter([*usual, *(name for name in upload.columns if name in work)]), "submission")
    if scheme is not None or column == "prompt":
        return f"{{{column}}}"
    return f"Grade this student's submission. Be fair, concrete and brief.\n\n{{{column}}}\n"


def _parameters(profile: ModelProfile, kit: Kit) -> JobParameters:
    of_kit = kit.parameters
    with st.expander("More options"):
        first, second = st.columns(2)
        effort = first.selectbox(
            "Effort", profile.efforts or (), index=_place(profile.efforts or (), of_kit.effort),
            placeholder="the model's own", key=f"effort {kit.name}",
            disabled=not profile.efforts,
        )  # fmt: skip
        verbosity = second.selectbox(
            "Verbosity", VERBOSITIES if profile.takes_verbosity else (),
            index=_place(VERBOSITIES if profile.takes_verbosity else (), of_kit.verbosity),
            placeholder="the model's own", key=f"verbosity {kit.name}", disabled=not profile.takes_verbosity,
        )  # fmt: skip
        temperature = first.number_input(
            "Temperature", 0.0, 2.0, of_kit.temperature, 0.1, key=f"temperature {kit.name}"
        )
        max_tokens = second.number_input(
            "Longest answer (tokens)", 1, None, of_kit.max_tokens, key=f"max_tokens {kit.name}",
            placeholder=f"{output_limit(profile, None, effort)}",
        )  # fmt: skip
        repair = st.toggle(
            "Let the model correct an invalid answer once", of_kit.allow_repair, key=f"allow_repair {kit.name}"
        )
        again = st.toggle(
            "Grade suspicious work twice", bool(of_kit.counterfactual), key=f"counterfactual {kit.name}",
            help="Work with a passage that seems to address the grader is graded once more without it.",
        )  # fmt: skip
    return replace(
        of_kit,
        temperature=float(temperature or 0.0),
        max_tokens=int(max_tokens) if max_tokens else None,
        effort=effort,
        verbosity=verbosity,
        allow_repair=repair,
        counterfactual=again or None,
    )


def _place(choices: Sequence[str], chosen: str | None) -> int | None:
    return choices.index(chosen) if chosen in choices else None


def _preview_and_go(upload: Upload, order: Order) -> None:
    fence = _fence_of_the_page()
    specs, problems = _specs_of(upload, order, fence)
    graded = [spec for spec in specs if not spec.left_out]
    if upload.look is not None:
        if graded:
            show_first_prompt(graded[0])
        read_the_rest(upload)
        return
    if problems:
        with st.expander(
            f"{counted(len(problems), 'submission')} cannot be graded: see why", icon=":material/warning:"
        ):
            for problem in problems[:MOST_PROBLEMS]:
                st.text(problem)
    if not graded:
        st.error(
            "Nobody handed in anything that a model can read."
            if specs
            else "No submission could be turned into a prompt."
        )
        return
    tell_names(specs, order.identity)
    show_first_prompt(graded[0])
    derived = _derived_name(st.session_state.upload_stem, specs, order)
    known = _known_work(upload, specs, order, derived)
    name = _name_of_batch(known.batch if known else derived)
    joining = joins(known if known and known.batch == name else None, specs)
    show_estimate(joining.specs, context=order.scheme.context if order.scheme else None)
    try:
        limits = ask_limits(len(graded))
    except InvalidInput as problem:
        say(problem)
        return
    if st.button(joining.label(limits), type="primary", icon=":material/play_arrow:", key="grade"):
        _enqueue(upload, specs, order, name, limits, joining=joining)


def _specs_of(upload: Upload, order: Order, fence: Fence) -> tuple[list[JobSpec], list[str]]:
    return build_specs_of(upload.items, order.defaults(fence), order.identity, roster=order.roster)


def _known_work(upload: Upload, specs: list[JobSpec], order: Order, derived: str) -> KnownWork | None:
    """The batch that holds most of this upload already; looked for once per upload and order."""
    known: KnownWork | None
    looked_for, known = st.session_state.get("known work", (None, None))
    if looked_for != derived:
        known = None
        if client().find_batch(derived) is None:
            known = find_known_work(
                payer_client(),
                _origin(order),
                {spec.id for spec in specs},
                lambda batch: _specs_joining(upload, order, batch)[0],
            )
        st.session_state["known work"] = derived, known
    return known


def _fence_of_the_page() -> Fence:
    """One for the session, so that the preview does not change under one's eyes; a batch that exists has its own."""
    fence: Fence = st.session_state.setdefault("fence", Fence.draw())
    return fence


def _name_of_batch(suggested: str) -> str:
    """The typed name, else the suggestion."""

    def keep() -> None:
        st.session_state[TYPED_NAME] = st.session_state["name of batch"].strip()

    st.session_state["name of batch"] = st.session_state.get(TYPED_NAME) or suggested
    return st.text_input("Name of the batch", key="name of batch", on_change=keep).strip()


def _derived_name(stem: str, specs: list[JobSpec], order: Order) -> str:
    """From the upload's name and all that decides the answers: the same upload again finds its own batch."""
    digest = hashlib.sha256()
    for spec in specs:
        prompt = spec.prompt.replace(_fence_of_the_page().mark, "")
        for pseudonym, name in spec.pseudonyms.items():  # it follows from the mark
            prompt = prompt.replace(pseudonym, name)
        digest.update(json.dumps([spec.id, prompt, spec.model, spec.schema]).encode())
    extra = [
        order.template.sha256,
        order.parameters.as_json(),
        order.scheme.digest if order.scheme else None,
        payer_client().provider,
        *([dict(order.given)] if order.given else []),
        *([str(order.identity)] if order.identity is IdentityRule.REPLACE else []),
    ]
    digest.update(json.dumps(extra, sort_keys=True).encode())
    return f"{stem[:MOST_STEM]}-{digest.hexdigest()[:8]}"


def _origin(order: Order) -> BatchOrigin:
    scheme = order.scheme.digest if order.scheme else None
    origin = BatchOrigin(
        input=UPLOADED,
        schema=order.schema,
        scheme=scheme,
        model=order.model,
        effort=order.parameters.effort,
        verbosity=order.parameters.verbosity,
        identity=str(order.identity) if order.identity is IdentityRule.REPLACE else None,
        roster=str(order.roster.absolute()) if order.roster else None,
        assignment=order.given.get("assignment"),
        solution=order.given.get("solution"),
        notes=order.given.get("notes"),
    )
    return keep_template(origin, order.template, order.bound.fields)


def _enqueue(
    upload: Upload, specs: list[JobSpec], order: Order, name: str, limits: Limits, *, joining: Joining
) -> None:
    origin = _origin(order)
    try:
        refuse_another_order(name, origin)
        specs, mark = _fenced_by_the_batch(upload, specs, order, name)
        origin = replace(origin, fence=mark, prompt_layout=PARTS)
        report = payer_client().enqueue(
            joining.without_kept(specs),
            name=name,
            queue=QueueName.INTERACTIVE,
            context=order.scheme.context if order.scheme else None,
            origin=origin,
            pilot=limits.pilot,
            max_cost_usd=limits.max_cost_usd,
            weight=limits.weight,
            notify=limits.notify,
            price=limits.price,
            by=limits.by,
            renews=joining.renews,
            names_are_searched=True,
        )
    except GradequeueError as problem:
        say(problem)
        return
    st.session_state.pop("known work", None)
    forget_last_kit()
    st.session_state.pop("fence", None)  # the next batch gets its own
    st.session_state[ENQUEUED] = (name, added(report.new, report.existing))
    st.session_state.open_batch = name
    st.rerun()


def _fenced_by_the_batch(upload: Upload, specs: list[JobSpec], order: Order, name: str) -> tuple[list[JobSpec], str]:
    """The specs with the fence of the batch that exists, or as they were shown; and the fence's mark."""
    batch = client().find_batch(name)
    if batch is None:
        return specs, _fence_of_the_page().mark
    mark = client().fence(name).mark
    specs, problems = _specs_joining(upload, order, batch)
    if problems:
        raise InvalidInput(problems[0])
    return specs, mark


def _specs_joining(upload: Upload, order: Order, batch: BatchOverview) -> tuple[list[JobSpec], list[str]]:
    """As they join this batch, searched for its students, too."""
    fence = Fence(batch.origin.fence) if batch.origin.fence else _fence_of_the_page()
    others = client().batch(batch.name).people()
    key = batch.origin.pseudonym_key or None
    return build_specs_of(
        upload.items, order.defaults(fence), order.identity, roster=order.roster, others=others, key=key
    )
