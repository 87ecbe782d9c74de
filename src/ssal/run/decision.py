"""What is answered under a promise on the error rate: a class, a group of classes, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from ssal.joint import Outputs, label_map
from ssal.model import Branch
from ssal.selective import (
    ABSTAINED,
    CONFIDENCE,
    Answers,
    Guarantee,
    Selector,
    nested_answers,
    score_words,
    show_score,
)


@dataclass(frozen=True)
class Decision:
    """What is answered for an image.

    Attributes:
        answer: names of the classes in the answer: one, those of a group, or none.
        tap: layer of the branch whose group the answer is; None for a class and without an answer.
        score: how sure the answer is, or the surest that was possible, in words.
        abstained: why there is no answer; None if there is one.
    """

    answer: tuple[str, ...]
    tap: str | None
    score: str
    abstained: str | None


@dataclass(frozen=True)
class Rule:
    """When to answer.

    Attributes:
        guarantee: what is promised, and the threshold for it.
        score: name of the score that is compared with the threshold.
        answers: possible answers from logits, joint log-probabilities and the maps class → group.
    """

    guarantee: Guarantee
    score: str
    answers: Callable[[Outputs, Tensor, Sequence[Tensor]], Answers]

    def decide(
        self, outputs: Outputs, joint: Tensor, branches: Sequence[Branch], class_names: Sequence[str]
    ) -> list[Decision]:
        """Answer N images.

        Args:
            outputs: logits [N, C] and [N, k_b], on the CPU.
            joint: joint log-probabilities [N, C], on the CPU.
            branches: taps and groupings.
            class_names: names of the C classes.
        """
        labels = [label_map(branch.grouping) for branch in branches]
        answers = self.answers(outputs, joint, labels)
        chosen = answers.at(self.guarantee.threshold)
        decisions: list[Decision] = []
        for row, column in enumerate(chosen.tolist()):
            # The last possible answer is the largest; where it is not sure enough, none is.
            shown = answers.scores[row].argmax() if column == ABSTAINED else column
            part, choice = int(answers.parts[row, shown]), int(answers.choices[row, shown])
            members = (choice,) if part == 0 else branches[part - 1].grouping.members(choice)
            names = tuple(class_names[int(member)] for member in members)
            score = show_score(self.score, float(answers.scores[row, shown]))
            if column == ABSTAINED:
                decisions.append(Decision((), None, score, self._reason(score, names)))
            else:
                tap = None if part == 0 else branches[part - 1].tap
                decisions.append(Decision(names, tap, score, None))
        return decisions

    def _reason(self, score: str, names: Sequence[str]) -> str:
        wanted = show_score(self.score, self.guarantee.threshold)
        shown = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
        of = f" of the group {shown}" if len(names) > 1 else ""
        return f"{score_words(self.score)}{of} is {score}, {wanted} is needed"


def class_rule(selector: Selector, risk: float, confidence: float = CONFIDENCE) -> Rule:
    """Answer with the most probable class, or not at all.

    Raises:
        InputError: the risk cannot be guaranteed; the message says what can be.
    """
    guarantee = selector.classes.guarantee(risk, confidence)
    return Rule(guarantee, selector.score, selector.class_answers)


def group_rule(selector: Selector, risk: float, confidence: float = CONFIDENCE) -> Rule:
    """Answer with the smallest of class and groups that is sure enough, or not at all.

    Raises:
        InputError: the risk cannot be guaranteed; the message says what can be.
    """
    return Rule(selector.groups.guarantee(risk, confidence), "JP", _nested)


def _nested(outputs: Outputs, joint: Tensor, labels: Sequence[Tensor]) -> Answers:
    del outputs
    return nested_answers(joint, labels)
