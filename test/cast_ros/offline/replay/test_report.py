# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser: no error, no network, sorting and hovering work, it fits a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_student import tiny_student

from cast_ros.offline.replay.evaluation import evaluate_bag
from cast_ros.offline.replay.run import ReplaySettings
from cast_ros.student import LoadOptions

LOCAL = ('file:', 'data:', 'blob:')
CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')


@pytest.fixture(scope='module')
def page_path(tmp_path_factory: pytest.TempPathFactory, street_bag: Path, student: Path, blind: Path) -> Path:
    out = tmp_path_factory.mktemp('report')
    evaluate_bag(street_bag, [student, blind], out, ReplaySettings(load=LoadOptions(threads=1)))
    return out / 'report.html'


@pytest.fixture(scope='module')
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip('playwright.sync_api', reason="needs the extra 'test'")
    if CHROMIUM is None:
        pytest.skip('needs Chromium, which .ci/run installs')
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox', '--disable-gpu'])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any, page_path: Path) -> Iterator[tuple[Any, list[str]]]:
    """The page, and everything that went wrong on it or was asked of the network."""
    page = browser.new_page(viewport={'width': 1200, 'height': 900})
    problems: list[str] = []
    page.on('console', lambda message: problems.append(message.text) if message.type in ('error', 'warning') else None)
    page.on('pageerror', lambda error: problems.append(str(error)))
    page.on(
        'request', lambda request: None if request.url.startswith(('file:', 'data:')) else problems.append(request.url)
    )
    page.goto(page_path.as_uri())
    page.wait_for_selector('#time-line .main-svg')
    yield page, problems
    page.close()


def test_every_figure_is_drawn_without_a_complaint_or_a_request(opened: tuple[Any, list[str]]) -> None:
    page, problems = opened
    figures = page.eval_on_selector_all(
        '.plot', 'found => found.map(one => [one.id, !!one.querySelector(".main-svg")])'
    )
    assert {'time-line', 'latency', 'precision-recall-0', 'confusion-1', 'luminance'} <= {name for name, _ in figures}
    assert all(is_drawn for _, is_drawn in figures)
    assert problems == []


def test_the_headlines_tell_the_difference_and_which_side_is_better(opened: tuple[Any, list[str]]) -> None:
    page, _ = opened
    card = page.locator('.card', has_text='mIoU')
    assert card.locator('.value').count() == 2
    assert card.locator('.worse').count() == 1
    assert card.locator('.better').count() == 0


def test_a_click_on_a_heading_sorts_the_classes_and_a_second_one_turns_them(opened: tuple[Any, list[str]]) -> None:
    page, _ = opened

    def names() -> list[str]:
        return page.eval_on_selector_all('#classes tbody tr', 'rows => rows.map(row => row.cells[0].textContent)')

    button = page.locator('#classes th button').nth(4)  # IoU of the second student, who takes cars for persons
    button.click()
    assert set(names()[:2]) == {'road', 'sky'}
    button.click()
    assert set(names()[:2]) == {'car', 'person'}
    page.locator('#classes th button').first.click()
    page.locator('#classes th button').first.click()
    assert names() == sorted(names())


def test_hovering_the_time_line_shows_the_picture_of_that_time(opened: tuple[Any, list[str]]) -> None:
    page, _ = opened
    before = page.locator('#seen-when').text_content()
    box = page.locator('#time-line .nsewdrag').bounding_box()
    page.mouse.move(box['x'] + box['width'] / 2, box['y'] + box['height'] / 2)
    page.wait_for_function('old => document.getElementById("seen-when").textContent !== old', arg=before)
    assert page.locator('#seen img').count() == 2
    assert page.eval_on_selector('#seen img', 'image => image.naturalWidth') > 0


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_it_fits_a_phone_by_day_and_by_night(browser: Any, page_path: Path, scheme: str) -> None:
    page = browser.new_page(viewport={'width': 360, 'height': 740}, color_scheme=scheme)
    page.goto(page_path.as_uri())
    page.wait_for_selector('#time-line .main-svg')
    assert page.evaluate('document.documentElement.scrollWidth') <= 360
    paper = page.evaluate('getComputedStyle(document.body).backgroundColor')
    brightness = sum(int(part) for part in paper.removeprefix('rgb(').removesuffix(')').split(','))
    assert (brightness > 600) == (scheme == 'light')
    page.close()


@pytest.mark.parametrize('heads', [('instances',), ('depth',)])
def test_a_student_without_a_semantic_map_has_a_page_that_works_all_the_same(
    browser: Any, tmp_path: Path, street_bag: Path, heads: tuple[str, ...]
) -> None:
    model = tiny_student(tmp_path / 'one.onnx', heads=heads)
    evaluate_bag(street_bag, [model], tmp_path / 'out', ReplaySettings(load=LoadOptions(threads=1), results_bag=False))
    page = browser.new_page()
    problems: list[str] = []
    page.on('pageerror', lambda error: problems.append(str(error)))
    page.goto((tmp_path / 'out' / 'report.html').as_uri())
    page.wait_for_selector('#latency .main-svg')
    assert page.locator('#seen img').count() == 1
    assert problems == []
    page.close()


def test_names_of_strangers_are_text_and_no_page(tmp_path: Path, street_bag: Path) -> None:
    evil = tiny_student(tmp_path / 'evil.onnx', name='</script><script>alert(1)</script>')
    evaluate_bag(street_bag, [evil], tmp_path / 'out', ReplaySettings(load=LoadOptions(threads=1), results_bag=False))
    assert '<script>alert' not in (tmp_path / 'out' / 'report.html').read_text(encoding='utf-8')
