import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from oreal_lib.models import build_model, check_model
from oreal_lib.models.cosine import CosineClassifier

SMALL, DEEP = "small_unet", "deeplabv3plus_resnet18"
BOTH = pytest.mark.parametrize("name", [SMALL, DEEP])


def test_a_score_is_the_cosine_of_features_and_weights_over_the_temperature():
    layer = CosineClassifier(2, 3, temperature=0.5)
    layer.weight.data[:, :, 0, 0] = torch.tensor([[1.0, 0.0], [0.0, 5.0], [-3.0, -3.0]])
    x = torch.tensor([[2.0, 0.0], [3.0, 4.0], [0.0, 0.0]]).T.view(1, 2, 1, 3)  # three pixels: right, up right, nowhere
    half = 0.5**0.5
    expected = torch.tensor([[1.0, 0.0, -half], [0.6, 0.8, -1.4 * half], [0.0, 0.0, 0.0]]).T.view(1, 3, 1, 3)
    assert torch.allclose(layer(x), 2 * expected, atol=1e-6)
    assert [name for name, _ in layer.named_parameters()] == ["weight"]  # no bias, no scale


@BOTH
def test_the_cosine_replaces_the_last_layer_and_nothing_else(name):
    torch.manual_seed(0)
    linear = build_model(name, 3).net
    torch.manual_seed(0)
    cosine = build_model(name, 3, classifier="cosine", temperature=0.25).net.eval()
    before = {k: v.shape for k, v in linear.state_dict().items() if k != "classifier.bias"}
    assert {k: v.shape for k, v in cosine.state_dict().items()} == before
    x = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        features, logits = cosine.features_and_logits(x)
    w = F.normalize(cosine.classifier.weight[:, :, 0, 0], dim=1)
    assert torch.allclose(logits, torch.einsum("cd,bdhw->bchw", w, 4 * F.normalize(features, dim=1)), atol=1e-4)


@BOTH
def test_scores_of_the_whole_image_are_within_bounds_and_learn(name):
    model = build_model(name, 3, classifier="cosine", temperature=0.1)
    logits = model(torch.rand(2, 3, 70, 66))
    assert logits.shape == (2, 3, 70, 66) and 1 < logits.abs().max() <= 10 + 1e-4
    F.cross_entropy(logits, torch.randint(3, (2, 70, 66))).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert model.net.classifier.weight.grad.any()


@pytest.mark.parametrize("name", [SMALL, DEEP, "segmenter_tiny"])
def test_features_have_length_1_and_explain_the_logits(name):
    model, x = build_model(name, 3).eval(), torch.rand(1, 3, 70, 66)
    with torch.inference_mode():
        features, logits, covered = model.features_and_logits(x)
        assert torch.equal(logits, model(x)) and all(a >= b for a, b in zip(covered, (70, 66), strict=True))
    assert torch.allclose(features.norm(dim=1), torch.ones(1, *features.shape[2:]), atol=1e-5)
    assert all(side % n == 0 for side, n in zip(covered, features.shape[2:], strict=True))


def test_half_precision_does_not_reach_the_scores():
    model = build_model(SMALL, 3, classifier="cosine").eval()
    with torch.autocast("cpu", torch.bfloat16):
        assert model.net.classifier(torch.rand(1, 16, 4, 4)).dtype == torch.float32


@BOTH
def test_a_model_is_not_read_back_by_the_other_kind(name, tmp_path):
    model, path = build_model(name, 3, classifier="cosine"), tmp_path / "model.safetensors"
    save_file(model.state_dict(), path)
    with pytest.raises(
        ValueError, match=r'Missing key\(s\) in state_dict: "net.classifier.bias"\.; build the model the file was saved from'
    ):
        build_model(name, 3, str(path))


def test_segmenter_and_unknown_classifiers_are_refused():
    with pytest.raises(ValueError, match="a segmenter already compares vectors of length 1"):
        build_model("segmenter_tiny", 3, classifier="cosine")
    with pytest.raises(ValueError, match="classifier is 'cos'; choose one of linear, cosine"):
        check_model(SMALL, "none", "cos")
