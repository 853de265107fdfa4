"""Choose threshold and post-processing with Optuna, on probabilities of held-out images.

reads   runs/NAME/fold-K/held_out.npz of every trained fold, the labels
writes  the study, runs/NAME/threshold.json, threshold.png, scores.csv (with the classical methods
        on the same images), out_of_fold.csv (each image's figures)

The study is checked against an exhaustive sweep; its F1 is also given cross-fitted.

examples:
  python src/tune_threshold.py --recipe demo
  python src/tune_threshold.py --recipe cpu --trials 20      adds 20 trials
"""

import pandas as pd

from canet import stage
from canet.runs import finished_folds
from canet.study import shown_url
from canet.threshold_search import held_out_files, search_threshold


def main() -> None:
    parser = stage.recipe_parser(__doc__)
    parser.add_argument("--trials", type=int, default=0, metavar="N", help="add N trials")
    stage.add_storage(parser)
    args = parser.parse_args()
    recipe = stage.load_recipe(args)
    outputs = [recipe.run_folder / n for n in ("threshold.json", "threshold.png", "scores.csv")]
    stage.announce("threshold", held_out_files(recipe) or [recipe.run_folder], outputs)
    print(f"   study  {shown_url(recipe)}", flush=True)
    if not held_out_files(recipe) and finished_folds(recipe.run_folder):
        print("   trained on all images, none held out: nothing to choose a threshold on")
        return
    result = search_threshold(recipe, args.trials, args.force)
    print(
        f"   threshold {result['threshold']:.3f}, "
        f"islands under {result['postprocess']['min_component_px']} px dropped, "
        f"{'thinned' if result['postprocess']['thin'] else 'not thinned'}: "
        f"F1 {result['f1']:.4f}, cross-fitted {result['f1_cross_fitted']:.4f} "
        f"on {result['images']} held-out images"
    )
    print(pd.read_csv(outputs[2]).to_string(index=False, float_format="{:.4f}".format))


if __name__ == "__main__":
    stage.run(main)
